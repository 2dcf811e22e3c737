//! The engine on the simulated disk: the fuzzer decides on options, operations, the order in which
//! I/O ends, failures and crashes, and the model checks what comes of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waldo_core::simulation::random::Random;
use waldo_core::simulation::run::run_from;

fuzz_target!(|data: &[u8]| {
    if let Err(violation) = run_from(Random::decided_by(data)) {
        panic!("{violation}");
    }
});
