//! RELP receivers that are late, unkind or confused.

use super::*;

/// A receiver's side of a session.
struct Session {
    reader: BufReader<tokio::net::tcp::OwnedReadHalf>,
    writer: tokio::net::tcp::OwnedWriteHalf,
}

impl Session {
    /// Takes a connection and its offer.
    async fn accept(listener: &TcpListener) -> Self {
        let mut session = Self::connected(listener).await;
        let (number, command, offer) = session.frame().await.unwrap();
        assert_eq!((number, command.as_str()), (1, "open"));
        assert!(offer.contains("relp_version=0\n") && offer.contains("commands=syslog"), "{offer}");
        session.answer(1, "200 OK\nrelp_version=0\nrelp_software=test\ncommands=syslog").await;
        session
    }

    async fn connected(listener: &TcpListener) -> Self {
        let (reader, writer) = listener.accept().await.unwrap().0.into_split();
        Self { reader: BufReader::new(reader), writer }
    }

    async fn word(&mut self) -> Option<String> {
        let mut word = Vec::new();
        self.reader.read_until(b' ', &mut word).await.unwrap();
        String::from_utf8(word).unwrap().strip_suffix(' ').map(str::to_owned)
    }

    async fn frame(&mut self) -> Option<(u64, String, String)> {
        let number = self.word().await?.parse().unwrap();
        let command = self.word().await.unwrap();
        if command == "close" {
            let mut rest = String::new();
            self.reader.read_line(&mut rest).await.unwrap();
            assert_eq!(rest, "0\n");
            return Some((number, command, String::new()));
        }
        let length: usize = self.word().await.unwrap().parse().unwrap();
        let mut data = vec![0; length + 1];
        self.reader.read_exact(&mut data).await.unwrap();
        assert_eq!(data.pop(), Some(b'\n'));
        Some((number, command, String::from_utf8(data).unwrap()))
    }

    async fn answer(&mut self, number: u64, text: &str) {
        let frame = format!("{number} rsp {} {text}\n", text.len());
        self.writer.write_all(frame.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_is_confirmed_when_all_its_frames_were_taken() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'relp://{address}'"));
    let receiver = tokio::spawn(async move {
        let mut session = Session::accept(&listener).await;
        for number in 2..=4 {
            let (found, command, message) = session.frame().await.unwrap();
            assert_eq!((found, command.as_str()), (number, "syslog"));
            assert!(message.starts_with("<134>1 - "), "{message}");
        }
        // The last first, and only then, late, the others.
        session.answer(4, "200 OK").await;
        session.answer(3, "200 OK").await;
        sleep(Duration::from_millis(300)).await;
        session.answer(2, "200 OK").await;
        let (number, command, _) = session.frame().await.unwrap();
        assert_eq!((number, command.as_str()), (5, "close"));
    });
    sink.deliver(&batch(&numbered(3, 10))).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(sink.confirm().await.unwrap().batches, 0, "the first frame waits");
    await_confirmed(&mut sink, 1).await.unwrap();
    drop(sink);
    receiver.await.unwrap();
}

#[tokio::test]
async fn no_more_than_a_window_is_on_its_way() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'relp://{address}'"));
    let receiver = tokio::spawn(async move {
        let mut session = Session::accept(&listener).await;
        let (mut taken, window) = (1, limits::RELP_WINDOW as u64);
        while taken < 1001 {
            let first = taken + 1;
            for _ in 0..window.min(1001 - taken) {
                taken += 1;
                assert_eq!(session.frame().await.unwrap().0, taken);
            }
            assert!(timeout(Duration::from_millis(20), session.reader.fill_buf()).await.is_err());
            for number in (first..=taken).rev() {
                session.answer(number, "200 OK").await;
            }
        }
        session
    });
    let all = batch(&numbered(1000, 10));
    let delivering = sink.deliver(&all);
    timeout(Duration::from_secs(10), delivering).await.unwrap().unwrap();
    await_confirmed(&mut sink, 1).await.unwrap();
    drop(receiver.await.unwrap());
}

/// What a receiver does that says `answers` after the first message.
async fn error_of(answers: &'static str) -> SinkError {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'relp://{address}'"));
    let receiver = tokio::spawn(async move {
        let mut session = Session::accept(&listener).await;
        session.frame().await.unwrap();
        session.writer.write_all(answers.as_bytes()).await.unwrap();
        session
    });
    sink.deliver(&batch(&numbered(1, 10))).await.unwrap();
    let error = await_error(&mut sink).await;
    drop(receiver);
    assert!(error.lost && matches!(error.recovery, Recovery::Retry { .. }), "{error:?}");
    error
}

#[tokio::test]
async fn any_other_answer_loses_the_batch() {
    for (answers, says) in [
        ("2 rsp 16 500 no secret no\n", "did not take a message: 500"),
        ("7 rsp 6 200 OK\n", "answers what was not sent"),
        ("2 syslog 6 200 OK\n", "answers what was not sent"),
        ("0 serverclose 0\n", "ends the session"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak RELP"),
    ] {
        let error = error_of(answers).await;
        assert!(error.message.contains(says) && !error.message.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_session_without_syslog_is_none() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'relp://{address}'"));
    let receiver = tokio::spawn(async move {
        let mut session = Session::connected(&listener).await;
        session.frame().await.unwrap();
        session.answer(1, "200 OK\nrelp_version=0\ncommands=eventlog").await;
        session
    });
    let error = sink.deliver(&batch(&numbered(1, 10))).await.unwrap_err();
    assert!(error.message.contains("takes no syslog"), "{error}");
    drop(receiver.await.unwrap());
}

#[tokio::test]
async fn a_receiver_that_dies_gets_the_batch_again() {
    let (listener, address) = listen().await;
    let mut sink = sink(&format!("address = 'relp://{address}'"));
    let receiver = tokio::spawn(async move {
        let mut session = Session::accept(&listener).await;
        for number in 2..=4 {
            session.frame().await.unwrap();
            if number < 4 {
                session.answer(number, "200 OK").await;
            }
        }
        drop(session);
        let mut session = Session::accept(&listener).await;
        for number in 2..=4 {
            assert!(session.frame().await.unwrap().2.contains(&format!(" - {} x", number - 2)));
            session.answer(number, "200 OK").await;
        }
        session
    });
    sink.deliver(&batch(&numbered(3, 10))).await.unwrap();
    assert!(await_error(&mut sink).await.lost);
    sink.deliver(&batch(&numbered(3, 10))).await.unwrap();
    await_confirmed(&mut sink, 1).await.unwrap();
    drop(receiver.await.unwrap());
}

#[tokio::test]
async fn a_receiver_that_takes_all_and_answers_nothing_is_trouble_and_gets_all_again() {
    for (first, stalls_in_delivery) in [(3, false), (1000, true)] {
        let (listener, address) = listen().await;
        let mut sink = sink(&format!("address = 'relp://{address}'"));
        let (mut session, records) = (None, batch(&numbered(first, 10)));
        {
            let mut delivering = sink.deliver(&records);
            let mut taken = 0;
            let taking = async {
                let session = session.insert(Session::accept(&listener).await);
                while session.frame().await.is_some() {
                    taken += 1;
                }
            };
            let quiet = timeout(Duration::from_millis(300), taking);
            let (delivered, _) = tokio::join!(timeout(Duration::from_millis(300), &mut delivering), quiet);
            assert_eq!(delivered.is_err(), stalls_in_delivery);
            assert_eq!(taken, first.min(limits::RELP_WINDOW), "no more than a window is on its way");
            tokio::time::pause();
            if stalls_in_delivery {
                let begun = tokio::time::Instant::now();
                let error = delivering.await.unwrap_err();
                assert!(begun.elapsed() <= limits::SEND_STALL, "{:?}", begun.elapsed());
                assert_silent(&error);
            }
        }
        if !stalls_in_delivery {
            assert_eq!(sink.confirm().await.unwrap().batches, 0);
            tokio::time::advance(limits::SEND_STALL + Duration::from_millis(1)).await;
            assert_silent(&sink.confirm().await.unwrap_err());
        }
        tokio::time::resume();
        let answering = tokio::spawn(async move {
            let mut session = Session::accept(&listener).await;
            for number in 2..first as u64 + 2 {
                let (_, _, message) = session.frame().await.unwrap();
                assert!(message.contains(&format!(" - {} x", number - 2)), "{message}");
                session.answer(number, "200 OK").await;
            }
            session
        });
        sink.deliver(&records).await.unwrap();
        await_confirmed(&mut sink, 1).await.unwrap();
        drop(answering.await.unwrap());
    }
}

fn assert_silent(error: &SinkError) {
    assert!(error.lost && matches!(error.recovery, Recovery::Retry { .. }), "{error:?}");
    let says = error.message.contains("no answer for 30 s") && error.message.contains("queue is full");
    assert!(says, "{error}");
}
