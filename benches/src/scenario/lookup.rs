//! Random reads of one log each, one to 64 at once, cold and warm.
