//! Transports against small receivers that misbehave.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener};
use tokio::time::{sleep, timeout};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::config::SyslogConfig;
use super::sink::{SyslogSink, probe};
use crate::limits;
use crate::recovery::Recovery;
use crate::sink::{About, Batch, Origin, Sink, SinkError};

mod relp;
mod tls;

fn config(text: &str) -> SyslogConfig {
    let table = DeTable::parse(text).unwrap().into_inner();
    SyslogConfig::read(ValueDeserializer::from(Spanned::new(0..0, DeValue::Table(table)))).unwrap()
}

fn sink(text: &str) -> SyslogSink {
    SyslogSink::new(Arc::new(config(text)))
}

fn batch(records: &[String]) -> Batch {
    let mut batch = Batch::default();
    let origin = Arc::new(Origin { event_type: "CODEX_LOG".into(), ..Origin::default() });
    for record in records {
        batch.bytes.extend_from_slice(record.as_bytes());
        batch.bytes.push(b'\n');
        batch.ends.push(batch.bytes.len());
        batch.about.push(About { origin: origin.clone(), ..About::default() });
    }
    batch
}

fn numbered(count: usize, length: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number} {}", "x".repeat(length))).collect()
}

/// Confirms and commits until so many batches are confirmed.
async fn await_confirmed(sink: &mut SyslogSink, batches: usize) -> Result<(), SinkError> {
    let mut confirmed = 0;
    let confirming = async {
        while confirmed < batches {
            confirmed += sink.confirm().await?.batches;
            sink.committed().await?;
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(confirmed, batches);
        Ok(())
    };
    timeout(Duration::from_secs(10), confirming).await.unwrap()
}

/// The first error of a sink that is asked to confirm.
async fn await_error(sink: &mut SyslogSink) -> SinkError {
    let asking = async {
        loop {
            match sink.confirm().await {
                Ok(confirmation) => assert_eq!(confirmation.batches, 0, "confirmed in spite of everything"),
                Err(error) => return error,
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), asking).await.unwrap()
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Splits what came with octet counting; panics at anything else.
async fn counted(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut length = Vec::new();
    if stream.read_until(b' ', &mut length).await.unwrap() == 0 {
        return None;
    }
    let length: usize = String::from_utf8(length).unwrap().trim_end().parse().unwrap();
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.unwrap();
    Some(String::from_utf8(message).unwrap())
}

#[tokio::test]
async fn messages_are_counted_and_confirmed_when_the_connection_stays() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'tcp://{address}'"));
    sink.deliver(&batch(&numbered(3, 10))).await.unwrap();
    assert_eq!(sink.confirm().await.unwrap().batches, 0, "too early");
    await_confirmed(&mut sink, 1).await.unwrap();
    drop(sink);
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    for number in 0..3 {
        let message = counted(&mut stream).await.unwrap();
        assert!(message.starts_with("<134>1 - "), "{message}");
        assert!(message.ends_with(&format!(" custodex - CODEX_LOG - {number} xxxxxxxxxx")), "{message}");
    }
    assert_eq!(counted(&mut stream).await, None, "closed properly");
}

#[tokio::test]
async fn what_is_confirmed_stays_so_until_it_is_committed() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'tcp://{address}'\nframing = 'newline'"));
    sink.deliver(&batch(&numbered(1, 1))).await.unwrap();
    sleep(limits::SYSLOG_SETTLE).await;
    sink.deliver(&batch(&numbered(1, 1))).await.unwrap();
    // The ledger could not take the first answer.
    assert_eq!(sink.confirm().await.unwrap().batches, 1);
    assert_eq!(sink.confirm().await.unwrap().batches, 1);
    sink.committed().await.unwrap();
    await_confirmed(&mut sink, 1).await.unwrap();
    drop(listener);
}

#[tokio::test]
async fn a_reset_loses_what_was_not_confirmed() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'tcp://{address}'"));
    sink.deliver(&batch(&numbered(20, 1000))).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.read_exact(&mut [0; 100]).await.unwrap();
    // Closed with bytes that nobody read: a reset.
    drop(stream);
    let error = await_error(&mut sink).await;
    assert!(error.lost && matches!(error.recovery, Recovery::Retry { after: Some(_) }), "{error:?}");
    sink.deliver(&batch(&numbered(20, 1000))).await.unwrap();
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    assert!(counted(&mut stream).await.unwrap().contains(" - 0 xxx"));
    await_confirmed(&mut sink, 1).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_closes_its_half_is_gone() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'tcp://{address}'"));
    sink.deliver(&batch(&numbered(1, 10))).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.shutdown().await.unwrap();
    let error = await_error(&mut sink).await;
    assert!(error.lost && error.message.ends_with("the receiver closed the connection"), "{error}");
    assert!(error.message.starts_with("tcp://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn a_connection_that_ends_while_idle_is_made_again() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'tcp://{address}'"));
    sink.deliver(&batch(&numbered(1, 10))).await.unwrap();
    await_confirmed(&mut sink, 1).await.unwrap();
    drop(listener.accept().await.unwrap());
    sleep(Duration::from_millis(50)).await;
    sink.deliver(&batch(&numbered(1, 10))).await.unwrap();
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    assert!(counted(&mut stream).await.is_some());
}

#[tokio::test]
async fn a_batch_that_is_stopped_leaves_no_torn_message() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'tcp://{address}'\nmax_message_bytes = '1MB'"));
    let records = numbered(40, 500_000);
    // Nobody reads, so it gets stuck somewhere.
    let stuck = timeout(Duration::from_millis(300), sink.deliver(&batch(&records))).await;
    assert!(stuck.is_err(), "20 MB do not fit into a socket");
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    let reading = tokio::spawn(async move {
        let mut numbers = Vec::new();
        while let Some(message) = counted(&mut stream).await {
            numbers.push(message.split(' ').nth(7).unwrap().parse::<usize>().unwrap());
        }
        numbers
    });
    sink.deliver(&batch(&records[..2])).await.unwrap();
    await_confirmed(&mut sink, 1).await.unwrap();
    drop(sink);
    let numbers = reading.await.unwrap();
    let begun = numbers.len() - 2;
    assert_eq!(numbers[..begun], (0..begun).collect::<Vec<_>>());
    assert_eq!(numbers[begun..], [0, 1]);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    let (listener, address) = listen().await;
    drop(listener);
    for scheme in ["tcp", "tls", "relp"] {
        let mut sink = sink(&format!("address = '{scheme}://{address}'"));
        let error = sink.deliver(&batch(&numbered(1, 1))).await.unwrap_err();
        assert_eq!((error.recovery, error.lost), (Recovery::Retry { after: None }, false));
        assert!(error.message.contains("refused"), "{}", error.message);
    }
    let mut sink = sink("address = 'tcp://collector.invalid:514'");
    let error = sink.deliver(&batch(&numbered(1, 1))).await.unwrap_err();
    assert!(error.message.contains("cannot be resolved"), "{error}");
}

#[tokio::test]
async fn a_record_that_does_not_fit_is_a_dead_letter() {
    let (_listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'tcp://{address}'\nmax_message_bytes = 1024"));
    let records = ["short".to_owned(), "x".repeat(1024)];
    let error = sink.deliver(&batch(&records)).await.unwrap_err();
    assert!(matches!(error.recovery, Recovery::DeadLetter { record: 1, .. }) && !error.lost, "{error:?}");
    assert!(!error.message.contains("xx"), "{error}");
    let room = crate::sink::SinkConfig::max_record_bytes(&config(&format!(
        "address = 'tcp://{address}'\nmax_message_bytes = 1024"
    )));
    sink.deliver(&batch(&["x".repeat(room.unwrap())])).await.unwrap();
}

#[tokio::test]
async fn datagrams_are_one_message_each() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut sink = sink(&format!("address = 'udp://{}'", socket.local_addr().unwrap()));
    sink.deliver(&batch(&numbered(3, 10))).await.unwrap();
    assert_eq!(sink.confirm().await.unwrap().batches, 1);
    sink.committed().await.unwrap();
    let mut message = [0; 2048];
    for number in 0..3 {
        let length = socket.recv(&mut message).await.unwrap();
        assert!(message[..length].ends_with(format!(" - {number} xxxxxxxxxx").as_bytes()));
    }
}

#[tokio::test]
async fn a_unix_socket_takes_datagrams_or_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
    let mut one = sink(&format!("address = 'unix:{}'", path("datagrams").display()));
    one.deliver(&batch(&numbered(1, 10))).await.unwrap();
    let mut message = [0; 2048];
    let length = datagrams.recv(&mut message).await.unwrap();
    assert!(message[..length].ends_with(b" - 0 xxxxxxxxxx"));
    let listener = UnixListener::bind(path("stream")).unwrap();
    let mut two = sink(&format!("address = 'unix:{}'", path("stream").display()));
    two.deliver(&batch(&numbered(2, 10))).await.unwrap();
    await_confirmed(&mut two, 1).await.unwrap();
    drop(two);
    let mut text = String::new();
    listener.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.lines().count(), 2);
    let mut none = sink(&format!("address = 'unix:{}'", path("nothing").display()));
    let error = none.deliver(&batch(&numbered(1, 1))).await.unwrap_err();
    assert!(matches!(error.recovery, Recovery::Pause { hint } if hint.contains("start the collector")));
}

#[tokio::test]
async fn a_probe_sends_no_message() {
    let (listener, address) = listen().await;
    let found = probe(&config(&format!("address = 'tcp://{address}'"))).await.unwrap();
    assert_eq!(found, format!("tcp://{address}: connected, in plaintext"));
    let mut said = Vec::new();
    listener.accept().await.unwrap().0.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"");
}
