//! Matroska and WebM (RFC 9559), written as it comes: what is on the disk plays up to the moment at which the
//! program died.
//!
//! Pure: bytes come out, and [`Muxer::finish`] says what to write over what. Each key frame of the picture
//! begins a cluster.

use super::super::codec::{Codec, OBU_SEQUENCE_HEADER, Size, nal_type, nal_units, obus};
use super::ebml::{UNKNOWN_SIZE, long_size, put, put_float, put_id, put_size, put_uint};
use std::time::Duration;

/// A cluster holds this much at most, so that block times fit into 16 bits of milliseconds.
const CLUSTER: u64 = 5_000;

/// Room for a seek head at the front, which is known at the end only.
const SEEK_HEAD: usize = 64;

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER_ID: u32 = 0x1f43_b675;
const CUES: u32 = 0x1c53_bb6b;
const INFO: u32 = 0x1549_a966;
const DURATION: u32 = 0x4489;

/// What decoders of Opus want before the first sound, in nanoseconds (RFC 7845 section 4.6).
const SEEK_PRE_ROLL: u64 = 80_000_000;

/// One track of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// How it is encoded.
    pub codec: Codec,
    /// Of the picture.
    pub size: Option<Size>,
    /// What a decoder needs before the first frame.
    private: Option<Vec<u8>>,
}

impl Track {
    /// The track that begins with this frame, a key frame if it is video.
    pub fn beginning(codec: Codec, frame: &[u8]) -> Self {
        Self {
            codec,
            size: codec.size(frame),
            private: match codec {
                Codec::Opus => Some(opus_head().to_vec()),
                Codec::H264 => avc_configuration(frame),
                Codec::Av1 => av1_configuration(frame),
                Codec::Vp8 | Codec::Vp9 => None,
            },
        }
    }
}

/// Where what has to be written over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// From the beginning of the file.
    pub at: u64,
    /// What belongs there.
    pub bytes: Vec<u8>,
}

/// One file.
#[derive(Debug)]
pub struct Muxer {
    tracks: Vec<Track>,
    written: u64,
    /// Where the segment's contents begin.
    segment: u64,
    duration_at: u64,
    /// The cluster that is open: its time in milliseconds.
    cluster: Option<u64>,
    /// Where the contents of each cluster begin; what is before that is its size, known at the end.
    clusters: Vec<u64>,
    cues: Vec<(u64, u64)>,
    last: [u64; 8],
    end: u64,
}

impl Muxer {
    /// Begins a file with these tracks, at most eight. Returns its first bytes.
    pub fn begin(mut tracks: Vec<Track>, app: &str) -> (Self, Vec<u8>) {
        tracks.truncate(8);
        let is_webm = tracks.iter().all(|track| is_webm(track.codec));
        let mut out = Vec::new();
        let mut head = Vec::new();
        put_uint(&mut head, 0x4286, 1);
        put_uint(&mut head, 0x42f7, 1);
        put_uint(&mut head, 0x42f2, 4);
        put_uint(&mut head, 0x42f3, 8);
        put(
            &mut head,
            0x4282,
            if is_webm { b"webm" } else { b"matroska" },
        );
        put_uint(&mut head, 0x4287, 4);
        put_uint(&mut head, 0x4285, 2);
        put(&mut out, 0x1a45_dfa3, &head);
        put_id(&mut out, SEGMENT);
        out.extend(UNKNOWN_SIZE);
        let segment = out.len() as u64;
        put(&mut out, 0xec, &[0; SEEK_HEAD - 2]);

        let mut info = Vec::new();
        put_uint(&mut info, 0x2a_d7b1, 1_000_000);
        put(&mut info, 0x4d80, app.as_bytes());
        put(&mut info, 0x5741, app.as_bytes());
        put_float(&mut info, DURATION, 0.0);
        put(&mut out, INFO, &info);
        let duration_at = out.len() as u64 - 8;

        let mut entries = Vec::new();
        for (index, track) in tracks.iter().enumerate() {
            put(&mut entries, 0xae, &entry(index as u64 + 1, track));
        }
        put(&mut out, 0x1654_ae6b, &entries);
        let muxer = Self {
            tracks,
            written: out.len() as u64,
            segment,
            duration_at,
            cluster: None,
            clusters: Vec::new(),
            cues: Vec::new(),
            last: [0; 8],
            end: 0,
        };
        (muxer, out)
    }

    /// The tracks of the file.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The bytes of one frame of the track with this index. Times of one track only grow.
    pub fn frame(&mut self, track: usize, time: Duration, key: bool, data: &[u8]) -> Vec<u8> {
        let Some(codec) = self.tracks.get(track).map(|track| track.codec) else {
            return Vec::new();
        };
        let millis = u64::try_from(time.as_millis())
            .unwrap_or(u64::MAX)
            .max(self.last[track]);
        self.last[track] = millis;
        self.end = self.end.max(millis);
        let has_video = self.tracks.iter().any(|track| track.codec != Codec::Opus);
        let seekable = key && (codec != Codec::Opus || !has_video);
        let mut out = Vec::with_capacity(data.len() + 32);
        let open = self.cluster.filter(|begin| {
            let inside = millis + CLUSTER >= *begin && millis < begin + CLUSTER;
            inside && !(seekable && has_video)
        });
        let begin = open.unwrap_or_else(|| {
            if seekable {
                self.cues.push((millis, self.written - self.segment));
            }
            put_id(&mut out, CLUSTER_ID);
            out.extend(UNKNOWN_SIZE);
            self.clusters.push(self.written + out.len() as u64);
            put_uint(&mut out, 0xe7, millis);
            millis
        });
        self.cluster = Some(begin);
        let data = stored(codec, data);
        put_id(&mut out, 0xa3);
        put_size(&mut out, data.len() as u64 + 4);
        out.push(0x80 | (track as u8 + 1));
        let offset = millis as i64 - begin as i64;
        out.extend((offset as i16).to_be_bytes());
        out.push(if key { 0x80 } else { 0 });
        out.extend_from_slice(&data);
        self.written += out.len() as u64;
        out
    }

    /// The last bytes of the file, and what to write over earlier ones. The last frame is taken to last for
    /// `tail`.
    pub fn finish(self, tail: Duration) -> (Vec<u8>, Vec<Patch>) {
        let mut points = Vec::new();
        let video = self
            .tracks
            .iter()
            .position(|track| track.codec != Codec::Opus);
        for (time, position) in &self.cues {
            let mut place = Vec::new();
            put_uint(&mut place, 0xf7, video.unwrap_or(0) as u64 + 1);
            put_uint(&mut place, 0xf1, *position);
            let mut point = Vec::new();
            put_uint(&mut point, 0xb3, *time);
            put(&mut point, 0xb7, &place);
            put(&mut points, 0xbb, &point);
        }
        let mut out = Vec::new();
        if !points.is_empty() {
            put(&mut out, CUES, &points);
        }
        let size = self.written + out.len() as u64 - self.segment;
        let duration = (Duration::from_millis(self.end) + tail).as_secs_f64() * 1_000.0;
        let mut patches = vec![
            Patch {
                at: self.segment - 8,
                bytes: long_size(size).to_vec(),
            },
            Patch {
                at: self.duration_at,
                bytes: duration.to_be_bytes().to_vec(),
            },
        ];
        let after = self.clusters.iter().skip(1);
        // The head of a cluster is twelve bytes long.
        let ends = after.map(|next| next - 12).chain([self.written]);
        for (begin, end) in self.clusters.iter().zip(ends) {
            patches.push(Patch {
                at: begin - 8,
                bytes: long_size(end - begin).to_vec(),
            });
        }
        if !points.is_empty() {
            let mut seek = Vec::new();
            put(&mut seek, 0x53ab, &CUES.to_be_bytes());
            put_uint(&mut seek, 0x53ac, self.written - self.segment);
            let mut seeks = Vec::new();
            put(&mut seeks, 0x4dbb, &seek);
            let mut bytes = Vec::new();
            put(&mut bytes, 0x114d_9b74, &seeks);
            let rest = SEEK_HEAD - bytes.len() - 2;
            put(&mut bytes, 0xec, &vec![0; rest]);
            patches.push(Patch {
                at: self.segment,
                bytes,
            });
        }
        (out, patches)
    }
}

/// Whether WebM allows the codec.
pub fn is_webm(codec: Codec) -> bool {
    codec != Codec::H264
}

fn entry(number: u64, track: &Track) -> Vec<u8> {
    let mut entry = Vec::new();
    put_uint(&mut entry, 0xd7, number);
    put_uint(&mut entry, 0x73c5, number);
    put_uint(
        &mut entry,
        0x83,
        if track.codec == Codec::Opus { 2 } else { 1 },
    );
    put_uint(&mut entry, 0x9c, 0);
    put(&mut entry, 0x22_b59c, b"und");
    let id: &[u8] = match track.codec {
        Codec::Opus => b"A_OPUS",
        Codec::Vp8 => b"V_VP8",
        Codec::Vp9 => b"V_VP9",
        Codec::H264 => b"V_MPEG4/ISO/AVC",
        Codec::Av1 => b"V_AV1",
    };
    put(&mut entry, 0x86, id);
    if let Some(private) = &track.private {
        put(&mut entry, 0x63a2, private);
    }
    if track.codec == Codec::Opus {
        put_uint(&mut entry, 0x56bb, SEEK_PRE_ROLL);
        let mut audio = Vec::new();
        put_float(&mut audio, 0xb5, 48_000.0);
        put_uint(&mut audio, 0x9f, 2);
        put(&mut entry, 0xe1, &audio);
    } else {
        let Size { width, height } = track.size.unwrap_or(Size {
            width: 640,
            height: 360,
        });
        let mut video = Vec::new();
        put_uint(&mut video, 0xb0, width.into());
        put_uint(&mut video, 0xba, height.into());
        put(&mut entry, 0xe0, &video);
    }
    entry
}

/// RFC 7845 section 5.1: stereo, nothing to skip (the stream is cut into at any point), 48 kHz.
fn opus_head() -> [u8; 19] {
    let mut head = [0; 19];
    head[..8].copy_from_slice(b"OpusHead");
    head[8] = 1;
    head[9] = 2;
    head[12..16].copy_from_slice(&48_000u32.to_le_bytes());
    head
}

/// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1).
fn avc_configuration(frame: &[u8]) -> Option<Vec<u8>> {
    let find = |kind| nal_units(frame).find(|unit| nal_type(unit) == Some(kind));
    let (sps, pps) = (find(7)?, find(8)?);
    let mut out = vec![1, *sps.get(1)?, *sps.get(2)?, *sps.get(3)?, 0xff, 0xe1];
    out.extend(u16::try_from(sps.len()).ok()?.to_be_bytes());
    out.extend_from_slice(sps);
    out.push(1);
    out.extend(u16::try_from(pps.len()).ok()?.to_be_bytes());
    out.extend_from_slice(pps);
    Some(out)
}

/// `av1C` (AV1 in ISOBMFF section 2.3.3), main profile, 8 bits, 4:2:0, with the sequence header behind it.
fn av1_configuration(frame: &[u8]) -> Option<Vec<u8>> {
    let obu = obus(frame).find(|obu| obu.kind == OBU_SEQUENCE_HEADER)?;
    let mut out = vec![0x81, 0x08, 0x0c, 0];
    out.push(obu.header[0] | 0x02);
    out.extend_from_slice(&obu.header[1..obu.header_len]);
    super::super::codec::put_leb128(&mut out, obu.payload.len());
    out.extend_from_slice(obu.payload);
    Some(out)
}

/// A frame as Matroska wants it: H.264 with lengths in place of start codes.
fn stored(codec: Codec, data: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if codec != Codec::H264 {
        return data.into();
    }
    let mut out = Vec::with_capacity(data.len() + 16);
    for unit in nal_units(data) {
        out.extend((unit.len() as u32).to_be_bytes());
        out.extend_from_slice(unit);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of the elements at the top of `bytes`, unknown sizes being those of segment and cluster.
    fn ids(mut bytes: &[u8]) -> Vec<u32> {
        let mut ids = Vec::new();
        while let Some(first) = bytes.first() {
            let length = first.leading_zeros() as usize + 1;
            let id = bytes[..length]
                .iter()
                .fold(0, |id, byte| id << 8 | u32::from(*byte));
            bytes = &bytes[length..];
            let length = bytes[0].leading_zeros() as usize + 1;
            let marked = bytes[..length]
                .iter()
                .fold(0u64, |size, byte| size << 8 | u64::from(*byte));
            let size = marked & !(1 << (7 * length));
            bytes = &bytes[length..];
            ids.push(id);
            if id != SEGMENT && id != CLUSTER_ID {
                bytes = &bytes[size as usize..];
            }
        }
        ids
    }

    #[test]
    fn elements_hold_together_and_patches_fit() {
        let vp8 = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
        let tracks = vec![
            Track::beginning(Codec::Vp8, &vp8),
            Track::beginning(Codec::Opus, &[]),
        ];
        assert_eq!(
            tracks[0].size,
            Some(Size {
                width: 640,
                height: 360
            })
        );
        let (mut muxer, mut file) = Muxer::begin(tracks, "test");
        assert_eq!(ids(&file), [0x1a45_dfa3, SEGMENT, 0xec, INFO, 0x1654_ae6b]);
        for (track, millis, key) in [
            (0, 0, true),
            (1, 0, true),
            (0, 33, false),
            (1, 20, true),
            (0, 2_000, true),
            (1, 8_000, true),
        ] {
            file.extend(muxer.frame(track, Duration::from_millis(millis), key, &vp8));
        }
        let before = file.len();
        let (rest, patches) = muxer.finish(Duration::from_millis(20));
        file.extend(rest);
        for Patch { at, bytes } in &patches {
            assert!(*at as usize + bytes.len() <= before);
            file[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        let expected = [
            &[0x1a45_dfa3, SEGMENT, 0x114d_9b74, 0xec, INFO, 0x1654_ae6b][..],
            &[
                CLUSTER_ID, 0xe7, 0xa3, 0xa3, 0xa3, 0xa3, CLUSTER_ID, 0xe7, 0xa3,
            ],
            &[CLUSTER_ID, 0xe7, 0xa3, CUES],
        ];
        assert_eq!(ids(&file), expected.concat());
        let segment = 8 + file
            .windows(8)
            .position(|w| w[..4] == SEGMENT.to_be_bytes())
            .unwrap()
            - 4;
        let size = u64::from_be_bytes(file[segment..segment + 8].try_into().unwrap()) & !(1 << 56);
        assert_eq!(size as usize, file.len() - segment - 8);
        // Each cluster says how long it is: behind it is another one, or the cues.
        let mut at = patches[2].at as usize - 4;
        for _ in 0..3 {
            assert_eq!(file[at..at + 4], CLUSTER_ID.to_be_bytes());
            let size = u64::from_be_bytes(file[at + 4..at + 12].try_into().unwrap());
            at += 12 + (size & !(1 << 56)) as usize;
        }
        assert_eq!(file[at..at + 4], CUES.to_be_bytes());
    }

    #[test]
    fn times_of_a_track_never_go_back() {
        let (mut muxer, _) = Muxer::begin(vec![Track::beginning(Codec::Opus, &[])], "test");
        muxer.frame(0, Duration::from_millis(100), true, &[1]);
        let block = muxer.frame(0, Duration::from_millis(60), true, &[1]);
        assert_eq!(block, [0xa3, 0x85, 0x81, 0, 0, 0x80, 1]);
        assert!(muxer.frame(7, Duration::ZERO, true, &[1]).is_empty());
    }

    #[test]
    fn h264_gets_lengths_and_its_parameter_sets() {
        let frame = [
            0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0, 0, 0, 1, 0x68, 9, 0, 0, 1, 0x65, 7,
        ];
        let track = Track::beginning(Codec::H264, &frame);
        let private = track.private.unwrap();
        assert_eq!(
            private,
            [
                1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 1, 0, 2, 0x68, 9
            ]
        );
        let stored = stored(Codec::H264, &frame).into_owned();
        assert_eq!(
            stored,
            [
                0, 0, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 0, 0, 0, 2, 0x68, 9, 0, 0, 0, 2, 0x65, 7
            ]
        );
        assert!(!is_webm(Codec::H264));
    }
}
