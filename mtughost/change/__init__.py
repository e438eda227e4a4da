"""Effects: approval, journal, guard, apply, resume (DESIGN section 7)."""
