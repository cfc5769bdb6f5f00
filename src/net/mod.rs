//! The loop: the one thread that owns every socket and the machine.
