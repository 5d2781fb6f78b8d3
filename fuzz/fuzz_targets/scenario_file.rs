#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| peerline_fuzz::fuzzing::scenario_file(data));
