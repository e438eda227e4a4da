"""Programs that run on lab devices and in the lab's cloud. Not imported by the engine."""
