#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| peerline::fuzzing::pairing_record(data));
