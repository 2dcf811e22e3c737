//! K streams from the oldest log while a writer appends, with a cold and a warm page cache.
