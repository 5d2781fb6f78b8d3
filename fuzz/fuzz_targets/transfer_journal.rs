#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| peerline::fuzzing::transfer_journal(data));
