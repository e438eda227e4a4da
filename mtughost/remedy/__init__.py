"""Pure: choice of fix, plan, states and transitions. No I/O, no clock (DESIGN section 7)."""
