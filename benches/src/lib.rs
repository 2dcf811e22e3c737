//! Measuring code of Waldo's benches, shared by `waldo-bench` and `waldo-peers`.
//!
//! | module | subject |
//! |---|---|
//! | [`measure`] | clocks: wall time, CPU, device bytes, context switches, latency histograms |
//! | [`outcome`] | what one run of one configuration yields |
//! | [`rounds`] | runs configurations interleaved, round by round |
//! | [`report`] | header, table, JSON lines |
//! | [`payload`], [`warm`], [`files`], [`buffer`] | data, memory and files to measure with |
//! | [`ceiling`] | the work without an engine |
//! | [`engine`] | the traits that an engine implements to be measured |
//! | [`tasks`] | a small executor |
//! | [`workload`] | load generators over those traits |
//! | [`scenario`] | the scenarios of `waldo-bench` |
//! | [`suite`], [`goals`] | all scenarios in one table; what is to be reached |
//! | [`waldo`] | Waldo behind those traits |

pub mod buffer;
pub mod ceiling;
pub mod engine;
pub mod files;
pub mod goals;
pub mod measure;
pub mod options;
pub mod outcome;
pub mod payload;
pub mod report;
pub mod rounds;
pub mod scenario;
pub mod size;
pub mod stock;
pub mod suite;
pub mod tasks;
pub mod waldo;
pub mod warm;
pub mod warnings;
pub mod workload;
