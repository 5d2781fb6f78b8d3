#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| peerline::fuzzing::names(data));
