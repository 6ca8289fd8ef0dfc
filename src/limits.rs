//! Every bound of the program, named and argued, in one place.

use std::time::Duration;

/// Records up to this size are normalized and delivered whole; larger ones go by reference.
pub const MAX_RECORD_BYTES: u64 = 16 * 1024 * 1024;

/// Jobs that may wait for the ledger's thread.
pub const LEDGER_QUEUE: usize = 256;
/// Jobs that share one transaction.
pub const LEDGER_GROUP: usize = 64;
/// How long a command waits for a database that another process holds.
pub const LEDGER_BUSY: Duration = Duration::from_secs(10);
/// Page cache of the ledger; negative is KiB, as SQLite has it.
pub const LEDGER_CACHE_KIB: i64 = -2048;
/// What is read of a spool file at a time.
pub const READ_WINDOW: usize = 256 * 1024;
/// Room reserved, not touched, for a big record. glibc maps blocks beyond 32 MiB on their own and gives them
/// back when they are freed; smaller ones it may keep for ever once such a block was freed.
pub const BIG_BUFFER_BYTES: usize = 40 * 1024 * 1024;
/// A record this large is delivered alone, by one sink at a time.
pub const BIG_RECORD_BYTES: u32 = 1024 * 1024;
/// Repeats are looked for in files whose `end_time` is at most this far away, seconds.
pub const REPEAT_WINDOW: i64 = 48 * 3600;
/// Files asked for in one list request; the most the provider allows.
pub const PAGE: u32 = 100;
/// A log file may have this many bytes after decoding; the provider's own cap is 15 MB.
pub const MAX_LOG_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// The whole retention window is listed again after this many seconds.
pub const SWEEP_INTERVAL: i64 = 86_400;
/// Files normally appear within this time after the moment they end, seconds.
pub const SETTLE: i64 = 30 * 60;
/// The same for costs, which are reckoned up later.
pub const SETTLE_COSTS: i64 = 6 * 3600;
/// Moments that expire while a first listing is on its way are no hole unless they are more than this, seconds.
pub const EXPIRED_UNSAID: i64 = 3600;
/// A stretch that was listed late is no gap worth telling unless it is older than its settle time and this.
pub const UNSETTLED_UNSAID: i64 = 3600;
/// The pace of collecting is that of so many files.
pub const PACE_FILES: i64 = 256;
/// Collecting that stood still for this long has no pace, seconds.
pub const PACE_WINDOW: i64 = 600;
/// Event types that nobody collects are looked for this often.
pub const UNCLAIMED_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// Between two such looks, so that they never use up a key's budget.
pub const UNCLAIMED_PAUSE: Duration = Duration::from_secs(60);
/// A stream the provider does not know is tried again after this time.
pub const UNSUPPORTED_PROBE: Duration = Duration::from_secs(6 * 3600);
/// A run with an end tries each thing this often.
pub const ONCE_TRIES: u32 = 6;
/// A run with an end asks this often for what the key may not read.
pub const ONCE_TRIES_DENIED: u32 = 3;
/// A run with an end waits at most this long between two tries.
pub const ONCE_RETRY_MAX: Duration = Duration::from_secs(15);
/// Shortest wait before a listing, a file or a key is tried again.
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// The daemon waits at most this long between two tries of a file.
pub const FETCH_RETRY_MAX: Duration = Duration::from_secs(15 * 60);
/// Downloads of one source in flight.
pub const FETCHES_IN_FLIGHT: usize = 4;
/// Pending files of one stream looked at in one go.
pub const FETCH_AHEAD: usize = 16;
/// How often put-off files are looked for while there are any.
pub const FETCH_LOOK: Duration = Duration::from_secs(1);
/// A run with an end waits this long for a refused key, a full spool or a provider that asks for a pause.
pub const ONCE_PATIENCE: Duration = Duration::from_secs(60);
/// After an error of the ledger, such as a full disk, work is tried again after this time.
pub const LEDGER_RETRY: Duration = Duration::from_secs(5);
/// Fetched files made real behind one barrier.
pub const FINISH_GROUP: usize = 16;
/// A crash leaves at most this many files renamed and not recorded; more mean that the ledger is not theirs.
pub const CRASH_LEFTOVERS: usize = FINISH_GROUP;
/// A batch is handed to a sink at about this size.
pub const BATCH_BYTES: usize = 512 * 1024;
/// Positions are committed this often while records flow.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
/// While something is handed over and not confirmed, the sink is asked this often.
pub const CONFIRM_LOOK: Duration = Duration::from_millis(50);
/// An idle sink is asked this often, so that it can rotate.
pub const IDLE_CONFIRM: Duration = Duration::from_secs(10);
/// A sink has this long to take a big record, then its memory is given to others.
pub const BIG_HOLD: Duration = Duration::from_secs(10);
/// At a clean stop a sink has this long to confirm.
pub const STOP_CONFIRM: Duration = Duration::from_secs(3);
/// Shortest and longest wait before a sink is tried again.
pub const SINK_RETRY_MIN: Duration = Duration::from_millis(250);
/// See [`SINK_RETRY_MIN`].
pub const SINK_RETRY_MAX: Duration = Duration::from_secs(30);
/// A paused sink is probed this often.
pub const SINK_PROBE: Duration = Duration::from_secs(15);
/// A task that should be at work and has not moved for this long is stuck.
pub const STUCK_TASK: Duration = Duration::from_secs(5 * 60);
/// The same for one that waits for the provider, which may ask for the longest pause.
pub const STUCK_REQUEST: Duration = RETRY_AFTER_MAX.saturating_add(STUCK_TASK);
/// The same for one that waits for a sink, whose slowest request may take its whole time.
pub const STUCK_SINK: Duration = S3_TIMEOUT.saturating_add(STUCK_TASK);
/// The ledger has this long to answer; another process may hold it for [`LEDGER_BUSY`].
pub const STUCK_LEDGER: Duration = Duration::from_secs(15);
/// How often the spool is cleaned.
pub const CLEAN_INTERVAL: Duration = Duration::from_secs(60);
/// Files removed in one transaction.
pub const CLEAN_GROUP: usize = 256;
/// Time to reach the other side.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time without a byte from the other side.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// A download slower than this is given up, bytes a second after the first minute.
pub const SLOWEST_DOWNLOAD: u64 = 1024;
/// A listing's page has to come within this time.
pub const PAGE_TIME: Duration = Duration::from_secs(60);
/// For the body of an error nobody waits longer.
pub const ERROR_TIME: Duration = Duration::from_secs(5);
/// A listing's page has at most this many bytes.
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Of the body of an error, this much is looked at.
pub const ERROR_BODY_BYTES: usize = 8 * 1024;
/// Of the message in it, this much is shown, in characters.
pub const ERROR_TEXT: usize = 240;
/// Redirects followed for one download.
pub const REDIRECTS: u32 = 3;
/// Signed addresses asked for in one try of a file.
pub const SIGNED_TRIES: u32 = 3;
/// Longest wait the other side may ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// How often a refused key is looked at, to see whether it was replaced.
pub const REFUSED_LOOK: Duration = Duration::from_secs(5);
/// Longest wait before a refused key is tried again.
pub const REFUSED_RETRY_MAX: Duration = Duration::from_secs(5 * 60);
/// Chunks of a download on their way to the disk.
pub const CHUNKS_IN_FLIGHT: usize = 4;
/// Largest zstd window accepted, as a power of two.
pub const ZSTD_WINDOW_LOG: u32 = 23;
/// After a 429 that names no time, requests of the key wait this long.
pub const RATE_PAUSE: Duration = Duration::from_secs(5);
/// A syslog message has at most this many bytes by default: receivers cut at 8 KiB by default.
pub const SYSLOG_MESSAGE_BYTES: usize = 8000;
/// The same for UDP: what every receiver should take (RFC 5424, 6.1).
pub const SYSLOG_UDP_BYTES: usize = 2048;
/// A syslog message may be limited to this, and not to less: a record without its long texts needs it.
pub const SYSLOG_LEAST_BYTES: usize = 1024;
/// What fits into one UDP datagram.
pub const UDP_PAYLOAD_BYTES: usize = 65_507;
/// A connection that stays whole for this long after a batch was written is taken to have carried it.
pub const SYSLOG_SETTLE: Duration = Duration::from_millis(500);
/// After a TLS handshake a refusal of our certificate may follow; it is waited for this long.
pub const TLS_REFUSAL_WAIT: Duration = Duration::from_millis(200);
/// A connection on which nothing moves although something should is given up after this time.
pub const SEND_STALL: Duration = Duration::from_secs(30);
/// An idle connection is looked at by TCP after this time, then at [`KEEPALIVE_INTERVAL`].
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// See [`KEEPALIVE_IDLE`].
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// A peer that does not answer this often is gone.
pub const KEEPALIVE_PROBES: u32 = 3;
/// A buffer for what is sent keeps this much when it is empty: a batch, framed.
pub const SEND_BUFFER_BYTES: usize = 2 * BATCH_BYTES;
/// RELP frames on their way without an answer; what librelp has.
pub const RELP_WINDOW: usize = 128;
/// The longest answer of a RELP receiver.
pub const RELP_ANSWER_BYTES: usize = 16 * 1024;
/// What is read of a receiver that is not expected to say much, at a time.
pub const ANSWER_WINDOW: usize = 4096;
/// Reads of a receiver's answers in one look.
pub const ANSWER_READS: usize = 16;
/// No file of certificates or keys is larger than this.
pub const PEM_BYTES: u64 = 16 * 1024 * 1024;
/// A text from outside takes at most this much of an object's name, in bytes: with all else around it, it
/// fits into a file name (255).
pub const NAME_PART_BYTES: usize = 140;
/// Objects in one page of an archive's listing; the most S3 gives.
pub const ARCHIVE_PAGE: usize = 1000;
/// Objects of one archive on their way.
pub const ARCHIVE_IN_FLIGHT: usize = 4;
/// A manifest is written this often, also when nothing was archived.
pub const SEAL_INTERVAL: Duration = Duration::from_secs(3600);
/// At a clean stop the last manifest may take this long; the next start puts it else.
pub const SEAL_AT_STOP: Duration = Duration::from_secs(2);
/// Log files in one manifest; more make several.
pub const MANIFEST_FILES: usize = 5000;
/// Holes in one manifest.
pub const MANIFEST_HOLES: usize = 10_000;
/// Listed log files that are not fetched yet in one manifest.
pub const MANIFEST_PENDING: usize = 10_000;
/// A larger manifest is none.
pub const MANIFEST_BYTES: u64 = 64 * 1024 * 1024;
/// Objects that are read at the same time while an archive is verified.
pub const VERIFY_IN_FLIGHT: usize = 4;
/// Objects that are read at the same time while records are looked for.
pub const FIND_IN_FLIGHT: usize = 4;
/// What was found in an object is handed over in parts of about this size; each object has one on its way.
pub const FIND_BYTES: u64 = 256 * 1024;
/// zstd level of archived objects: the usual one, faster than any network.
pub const ARCHIVE_ZSTD_LEVEL: i32 = 3;
/// Their zstd window as a power of two: 1 MiB, so that four of them and any reader need little memory.
pub const ARCHIVE_ZSTD_WINDOW_LOG: u32 = 20;
/// What is copied or packed at a time.
pub const COPY_WINDOW: usize = 64 * 1024;
/// Folders of a directory archive that are known to be durable; beyond that they are looked at again.
pub const KNOWN_FOLDERS: usize = 4096;
/// A request to a bucket has this long in all; the largest object takes far less on a slow line.
pub const S3_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// A prefix has at most this many bytes, so that keys stay within the 1024 that S3 allows.
pub const S3_PREFIX_BYTES: usize = 200;
/// Tags of an object; S3 takes no more.
pub const S3_TAGS: usize = 10;
/// Requests to a Splunk HEC that wait for their acknowledgement.
pub const HEC_UNACKED_REQUESTS: usize = 32;
/// Bytes of their bodies, kept to be sent again.
pub const HEC_UNACKED_BYTES: usize = 8 * 1024 * 1024;
/// Ids one body can be acknowledged by: one for each time it was sent, the newest.
pub const HEC_IDS_OF_A_BODY: usize = 8;
/// Shortest wait between two questions for acknowledgements; it doubles while there are none.
pub const HEC_ACK_LOOK_MIN: Duration = Duration::from_millis(250);
/// See [`HEC_ACK_LOOK_MIN`].
pub const HEC_ACK_LOOK_MAX: Duration = Duration::from_secs(2);
/// Nobody waits longer at a time for the answer to such a question; it may arrive later.
pub const HEC_ACK_PATIENCE: Duration = Duration::from_millis(20);
/// While no request may be added, the pending ones are looked at this often.
pub const HEC_FULL_LOOK: Duration = Duration::from_millis(50);
/// After an answer that says its queues are filling, nothing is sent for this time.
pub const HEC_SLOW: Duration = Duration::from_secs(2);
/// A body is not made smaller than this because the other side finds it too large, short of one event.
pub const HEC_LEAST_BODY: usize = 16 * 1024;
/// Of an answer, this much is read.
pub const HEC_REPLY_BYTES: usize = 64 * 1024;
/// Cookies kept for a balancer.
pub const HEC_COOKIES: usize = 16;
/// Longest cookie that is kept.
pub const HEC_COOKIE_BYTES: usize = 4096;
/// Longest indexed field; longer ones were seen cut.
pub const HEC_FIELD_BYTES: usize = 1000;
/// A connection that is idle this long is not used again; Splunk closes it soon after.
pub const HEC_IDLE_CONNECTION: Duration = Duration::from_secs(10);
/// Certificate files are looked at this often, to see whether they were replaced.
pub const HEC_TLS_LOOK: Duration = Duration::from_secs(5);
/// Connections to the page at the same time; more wait.
pub const HTTP_CONNECTIONS: usize = 32;
/// A request has to be there within this time.
pub const HTTP_HEADER_TIME: Duration = Duration::from_secs(5);
/// A connection, which carries one request, is over after this time; the ledger may take [`STUCK_LEDGER`] of it.
pub const HTTP_TIME: Duration = Duration::from_secs(30);
/// At a clean stop, answers under way have this long.
pub const HTTP_STOP: Duration = Duration::from_secs(1);
/// Header fields of a request.
pub const HTTP_HEADERS: usize = 64;
/// All of them together, with the request line; no body is read.
pub const HTTP_HEADER_BYTES: usize = 16 * 1024;
/// Answers that read the ledger at the same time.
pub const HTTP_READERS: usize = 2;
/// A stream is up to date while it is covered up to this long before its settle time, seconds.
pub const COVERAGE_DUE: i64 = 3600;
/// Holes, and dead letters, on the page; the commands list all.
pub const PAGE_ROWS: u32 = 50;
/// Days that the page shows of coverage.
pub const PAGE_DAYS: i64 = 30;
/// `check --send-test` waits this long for a confirmation; the slowest, of an indexer, comes within a minute
/// where all is well.
pub const SEND_TEST_PATIENCE: Duration = Duration::from_secs(90);
/// Events of the audit trail in one log file of it; more make several.
pub const OWN_FILE_EVENTS: usize = 2000;
/// A log file of the audit trail ends with the event that reaches this size.
pub const OWN_FILE_BYTES: usize = 1024 * 1024;
/// Events of the audit trail that wait are made into a log file this often.
pub const OWN_INTERVAL: Duration = Duration::from_secs(60);
/// The first time, and after somebody acted on the daemon: soon, and several at once.
pub const OWN_SOON: Duration = Duration::from_secs(2);
/// While no sink takes the audit trail, so many of its newest events are kept for one that may be added.
pub const OWN_EVENTS_KEPT: u64 = 10_000;
/// At a clean stop, collecting has this long to end before sinks are told to stop.
pub const COLLECT_AT_STOP: Duration = Duration::from_millis(750);
/// At a clean stop, sinks that have nothing else to do get this long for the end of the audit trail.
pub const OWN_AT_STOP: Duration = Duration::from_millis(500);
/// How often they are looked at meanwhile.
pub const OWN_AT_STOP_LOOK: Duration = Duration::from_millis(20);
/// The first records of a log file, which are looked at for what their stream never showed before. All of them
/// would cost as much as delivering them.
pub const SHAPE_RECORDS: usize = 64;
/// Records larger than this are not looked at.
pub const SHAPE_RECORD_BYTES: u32 = 256 * 1024;
/// Of one log file, so much is looked at.
pub const SHAPE_FILE_BYTES: u32 = 1024 * 1024;
/// Keys of a path that are looked at; what lies deeper is content more than form.
pub const SHAPE_DEPTH: usize = 3;
/// Elements of an array that are looked at.
pub const SHAPE_ELEMENTS: usize = 16;
/// Names that are known of a stream; what comes after them is not looked at.
pub const SHAPE_NAMES: usize = 5000;
/// A longer key is no name of a field.
pub const SHAPE_KEY_BYTES: usize = 48;
/// Of what was new of late, so much is told of one log file, and shown by `status`.
pub const DRIFT_SHOWN: usize = 20;
/// `status` shows for so long what was new, seconds.
pub const DRIFT_AGE: i64 = 30 * 86_400;
/// Records that a replay knows again: about 16 MB of them.
pub const REPLAY_SEEN: usize = 1 << 18;
/// A replay tries this often to read a log file before it asks whether the archive is there at all.
pub const REPLAY_READS: u32 = 3;
