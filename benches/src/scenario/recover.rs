//! Opening after a clean close and after a kill, `Full` and `Fast`.
