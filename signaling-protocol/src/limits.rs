//! The numbers of the protocol. A server may be stricter about rates and rooms; it says so in
//! `joined`.

use std::time::Duration;

/// Largest message in bytes of UTF-8, once joined. A description with many candidates is 10 KiB.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Largest message in bytes before `join`, which only carries names and tokens.
pub const MESSAGE_BYTES_BEFORE_JOIN: usize = 16 * 1024;

/// Deepest nesting of JSON objects and arrays; the message itself is level 1.
pub const JSON_DEPTH: usize = 16;

/// Longest room name in bytes.
pub const ROOM_NAME_BYTES: usize = 64;

/// Longest name of a peer in Unicode scalar values.
pub const PEER_NAME_CHARS: usize = 64;

/// Longest peer id in bytes.
pub const PEER_ID_BYTES: usize = 32;

/// The room of a plain peer that names none.
pub const DEFAULT_ROOM: &str = "lobby";

/// Messages a second that one peer may send in the long run.
pub const MESSAGES_PER_SECOND: u32 = 50;

/// Messages that one peer may send at once: a burst of trickled candidates for several peers.
pub const MESSAGE_BURST: u32 = 200;

/// Members of one room unless its maker or the server says less.
pub const PEERS_PER_ROOM: u16 = 16;

/// Bytes that wait for one receiver before it is closed with `slow-consumer`.
pub const OUTBOX_BYTES: usize = 256 * 1024;

/// Time from the open WebSocket to `join`; a client has it ready, so only a dead link is slower.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(3);

/// Time between WebSocket pings of the server: under the 30 s after which some NATs and proxies
/// forget a silent connection.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);

/// Silence after which a connection counts as lost: two pings went unanswered.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a place in a room waits for a member whose connection broke.
pub const RESUME_WINDOW: Duration = Duration::from_secs(120);

/// Numbered messages after which an acknowledgement is due, in both directions.
pub const ACK_MESSAGES: u32 = 16;

/// Bytes of numbered messages after which an acknowledgement is due, in both directions.
pub const ACK_BYTES: usize = 64 * 1024;

/// Time after which a client acknowledges whatever came.
pub const ACK_DELAY: Duration = Duration::from_millis(200);

/// Time for which a long poll without messages is held: under the 30 s of impatient proxies.
pub const POLL_TIME: Duration = Duration::from_secs(25);

/// Messages in one POST.
pub const POST_MESSAGES: usize = 64;

/// Bytes of the body of one POST: a message of every size fits, with what JSON puts around it.
pub const POST_BYTES: usize = 2 * MESSAGE_BYTES;
