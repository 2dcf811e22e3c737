//! Thousands of waiting streams while nothing is appended.
