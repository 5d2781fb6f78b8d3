#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| peerline_fuzz::fuzzing::stun_datagram(data));
