//! The sink against a collector that misbehaves in each way we know of.

use std::time::Duration;

use super::driver::{Driver, Item, items};
use super::receiver::{Receiver, Ways};

/// Once each, all but these.
fn assert_indexed(receiver: &Receiver, items: &[Item], but: &[&str], repeats: bool) {
    let known = receiver.known();
    for (id, _) in items {
        let times = known.indexed.get(id).copied().unwrap_or(0);
        let expected = !but.contains(&id.as_str());
        assert!(times > 0 || !expected, "{id} is missing");
        assert!(times <= 1 || repeats, "{id} is there {times} times");
        assert!(expected || times == 0, "{id} is there");
    }
}

async fn run(ways: Ways, keys: &str, items: &[Item], most: usize) -> (Receiver, Driver) {
    let mut receiver = Receiver::start(ways);
    let mut driver = Driver::new(&receiver, keys);
    driver.run(&mut receiver, items, most, |_, _| {}).await;
    (receiver, driver)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_confirmed_by_an_acknowledgement() {
    let items = items(2000, 2000);
    let (receiver, driver) = run(Ways::default(), "", &items, 300).await;
    assert_indexed(&receiver, &items, &[], false);
    let known = receiver.known();
    assert_eq!(known.acked, known.posts, "one acknowledgement for each request");
    assert!(known.bodies.iter().all(|bytes| *bytes <= 1_000_000), "{:?}", known.bodies);
    assert!(driver.pauses.is_empty() && driver.retries.is_empty() && driver.dead.is_empty());
    let envelope = &known.envelopes[0];
    assert_eq!(envelope["source"], "11111111-2222-4333-8444-555555555555/CODEX_LOG");
    assert_eq!(envelope["sourcetype"], "openai:compliance:codex_log");
    assert_eq!(envelope["time"].to_string(), "1784721600.5");
    assert_eq!(envelope["event"]["n"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_channel_is_the_same_after_a_restart() {
    let items = items(20, 10);
    let (mut receiver, mut driver) = run(Ways::default(), "", &items, 5).await;
    driver.run(&mut receiver, &items, 5, |_, _| {}).await;
    assert_eq!(receiver.known().channels.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_records_wait_for_more() {
    let items = items(500, 10);
    let (receiver, _) = run(Ways::default(), "batch_interval = '300ms'", &items, 5).await;
    assert!(receiver.known().posts < 10, "{}", receiver.known().posts);
    let (receiver, _) = run(Ways::default(), "batch_interval = '0ms'", &items, 50).await;
    assert_eq!(receiver.known().posts, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acknowledgements_the_answer_confirms() {
    let items = items(300, 100);
    let ways = Ways { no_acks: true, ..Ways::default() };
    let (receiver, _) = run(ways, "acknowledgements = false; compression = 'none'", &items, 50).await;
    assert_indexed(&receiver, &items, &[], false);
    assert_eq!(receiver.known().questions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_may_come_late() {
    let items = items(300, 1000);
    let ways = Ways { false_first: 2, ..Ways::default() };
    let (receiver, driver) = run(ways, "ack_timeout = '1m'", &items, 50).await;
    assert_indexed(&receiver, &items, &[], false);
    assert!(driver.retries.is_empty());
    // Later than the time-out: whichever of the bodies is acknowledged first counts.
    let ways = Ways { false_first: 4, ..Ways::default() };
    let (receiver, _) = run(ways, "ack_timeout = '600ms'", &items[..50], 50).await;
    assert_indexed(&receiver, &items[..50], &[], true);
    assert!(receiver.known().posts > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_acknowledgement_the_same_body_is_sent_again_for_ever() {
    let items = items(60, 1000);
    let mut receiver = Receiver::start(Ways { never_ack: true, ..Ways::default() });
    let mut driver = Driver::new(&receiver, "ack_timeout = '200ms'; batch_interval = '0ms'");
    let heal = |receiver: &mut Receiver, _: &Driver| {
        let mut known = receiver.known();
        known.ways.never_ack &= known.posts < 12;
    };
    driver.run(&mut receiver, &items, 20, heal).await;
    assert_indexed(&receiver, &items, &[], true);
    assert!(receiver.known().posts >= 12);
    let bodies = &receiver.known().bodies;
    assert!(bodies[3..].iter().all(|bytes| bodies[..3].contains(bytes)), "the same bodies: {bodies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_window_waits() {
    let items = items(120, 100);
    let mut receiver = Receiver::start(Ways { never_ack: true, ..Ways::default() });
    let known = receiver.shared();
    let looked = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut known = known.lock().unwrap();
        known.ways.never_ack = false;
        known.posts
    });
    let mut driver = Driver::new(&receiver, "ack_timeout = '1m'; batch_interval = '0ms'");
    driver.run(&mut receiver, &items, 1, |_, _| {}).await;
    assert_indexed(&receiver, &items, &[], false);
    assert_eq!(looked.await.unwrap(), 32, "more wait for their acknowledgement");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_killed_before_it_acknowledges_loses_nothing() {
    let items = items(200, 1000);
    let mut receiver = Receiver::start(Ways { never_ack: true, ..Ways::default() });
    let mut driver = Driver::new(&receiver, "ack_timeout = '300ms'; batch_interval = '0ms'");
    let mut kills = 0;
    let act = |receiver: &mut Receiver, _: &Driver| {
        let posts = receiver.known().posts;
        if kills < 3 && posts > kills * 15 + 8 {
            kills += 1;
            receiver.kill();
            receiver.revive();
            receiver.known().ways.never_ack = kills < 3;
        }
    };
    driver.run(&mut receiver, &items, 10, act).await;
    assert_eq!(kills, 3);
    assert_indexed(&receiver, &items, &[], true);
    assert!(driver.dead.is_empty() && driver.lost == 0, "bodies are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_begin_again_confirm_nothing_old() {
    // Only the ids are forgotten at first: the driver asserts that nothing unindexed is confirmed.
    let items = items(400, 200);
    let mut receiver = Receiver::start(Ways { false_first: 1, ..Ways::default() });
    let mut driver = Driver::new(&receiver, "ack_timeout = '400ms'; batch_interval = '0ms'");
    let mut at = 7;
    let act = |receiver: &mut Receiver, _: &Driver| {
        if receiver.known().posts > at && at < 60 {
            at += 9;
            receiver.kill();
            receiver.revive();
        }
    };
    driver.run(&mut receiver, &items, 10, act).await;
    assert_indexed(&receiver, &items, &[], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_go_to_the_indexer_that_took_the_events() {
    let items = items(300, 1000);
    let (receiver, _) =
        run(Ways { balanced: true, ..Ways::default() }, "ack_timeout = '1m'", &items, 30).await;
    assert_indexed(&receiver, &items, &[], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_collector_is_waited_for() {
    let items = items(100, 100);
    let (receiver, driver) = run(Ways { busy: 5, ..Ways::default() }, "", &items, 50).await;
    assert_indexed(&receiver, &items, &[], false);
    assert_eq!(driver.retries.len(), 5);
    assert!(driver.retries[0].contains("503 code 9: the server is busy"), "{:?}", driver.retries);
    let (receiver, driver) = run(Ways { full: Some(24), ..Ways::default() }, "", &items, 100).await;
    assert_indexed(&receiver, &items, &[], false);
    assert!(driver.retries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_are_halved() {
    let items = items(400, 1000);
    let ways = Ways { max_bytes: Some(60_000), ..Ways::default() };
    let (receiver, driver) = run(ways, "", &items, 400).await;
    assert_indexed(&receiver, &items, &[], false);
    assert!(driver.dead.is_empty());
    // One event alone is too large: nothing can be done for it.
    let mut items = items;
    items[7].1 = format!("{{\"n\":7,\"x\":\"{}\"}}", "x".repeat(100_000));
    let ways = Ways { max_bytes: Some(60_000), ..Ways::default() };
    let (receiver, driver) = run(ways, "", &items, 400).await;
    assert_indexed(&receiver, &items, &["r00007"], true);
    assert_eq!(driver.dead.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_event_is_isolated_wherever_it_is() {
    for (number, prefix_indexed, code) in [
        (true, false, 6),
        (true, true, 6),
        (false, false, 6),
        (false, true, 12),
        (true, false, 13),
        (false, false, 15),
    ] {
        for bad in [0, 1, 49, 50, 98, 99] {
            let mut items = items(100, 20);
            items[bad].1 = r#"{"n":"POISON"}"#.into();
            let ways = Ways { poison: Some(("POISON", code)), number, prefix_indexed, ..Ways::default() };
            let (receiver, driver) = run(ways, "batch_interval = '0ms'", &items, 100).await;
            let id = items[bad].0.clone();
            assert_indexed(&receiver, &items, &[&id], true);
            let answer = format!("the collector answered 400 code {code}");
            assert_eq!((driver.dead.len(), &driver.dead[0].0), (1, &id));
            assert!(driver.dead[0].1.starts_with(&answer), "{:?}", driver.dead);
            assert_eq!(driver.lost, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_events_among_gathered_batches_are_isolated_too() {
    for number in [true, false] {
        let mut items = items(200, 20);
        for bad in [3, 4, 77, 199] {
            items[bad].1 = r#"{"n":"POISON"}"#.into();
        }
        let ways = Ways { poison: Some(("POISON", 6)), number, ..Ways::default() };
        let (receiver, mut driver) = run(ways, "batch_interval = '100ms'", &items, 10).await;
        assert_indexed(&receiver, &items, &["r00003", "r00004", "r00077", "r00199"], true);
        driver.dead.sort();
        let dead: Vec<&str> = driver.dead.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(dead, ["r00003", "r00004", "r00077", "r00199"]);
        assert!(driver.lost >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_repeats_and_loses_nothing() {
    let items = items(300, 1000);
    let (receiver, driver) = run(Ways { cut: 3, ..Ways::default() }, "", &items, 100).await;
    assert_indexed(&receiver, &items, &[], true);
    assert_eq!(driver.retries.len(), 3);
    assert!(driver.retries[0].contains("cannot reach http://127.0.0.1"), "{:?}", driver.retries);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_must_mend_consumes_nothing() {
    let items = items(60, 100);
    for (deny, says) in [
        ((401, 3), "enabled HEC input"),
        ((403, 4), "enabled HEC input"),
        ((403, 1), "enabled HEC input"),
        ((404, 0), "check `url`"),
        ((400, 7), "create the index"),
        ((400, 99), "Event Collector"),
    ] {
        let mut receiver = Receiver::start(Ways { deny: Some(deny), ..Ways::default() });
        let mut driver = Driver::new(&receiver, "batch_interval = '0ms'");
        let heal = |receiver: &mut Receiver, driver: &Driver| {
            if driver.pauses.len() >= 3 {
                receiver.known().ways.deny = None;
            }
        };
        driver.run(&mut receiver, &items, 20, heal).await;
        assert_indexed(&receiver, &items, &[], false);
        assert!(driver.pauses[0].contains(says), "{:?}", driver.pauses);
        assert!(driver.dead.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_acknowledgements_is_never_used_silently() {
    let items = items(40, 100);
    let mut receiver = Receiver::start(Ways { no_acks: true, ..Ways::default() });
    let mut driver = Driver::new(&receiver, "batch_interval = '0ms'");
    let heal = |receiver: &mut Receiver, driver: &Driver| {
        let mut known = receiver.known();
        if driver.pauses.len() == 3 && known.ways.no_acks {
            assert_eq!(known.posts, 0, "nothing was sent");
            known.ways.no_acks = false;
        }
    };
    driver.run(&mut receiver, &items, 20, heal).await;
    assert_indexed(&receiver, &items, &[], false);
    assert!(driver.pauses[0].contains("turn on indexer acknowledgement"), "{:?}", driver.pauses);
    // One that answers questions and gives no ids.
    let mut receiver = Receiver::start(Ways { no_ids: true, ..Ways::default() });
    let mut driver = Driver::new(&receiver, "batch_interval = '0ms'");
    let heal = |receiver: &mut Receiver, driver: &Driver| {
        if driver.pauses.len() == 2 {
            receiver.known().ways.no_ids = false;
        }
    };
    driver.run(&mut receiver, &items, 20, heal).await;
    assert_indexed(&receiver, &items, &[], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_is_found() {
    let items = items(200, 100);
    let mut receiver = Receiver::start(Ways::default());
    let mut driver = Driver::new(&receiver, "batch_interval = '0ms'");
    let mut rotated = false;
    let rotate = |receiver: &mut Receiver, driver: &Driver| {
        if receiver.known().posts >= 5 && !rotated {
            rotated = true;
            let new = "33333333-aaaa-4bbb-8ccc-444444444444";
            receiver.known().token = new.into();
            std::fs::write(&driver.token, new).unwrap();
        }
    };
    driver.run(&mut receiver, &items, 10, rotate).await;
    assert_indexed(&receiver, &items, &[], false);
    assert!(driver.pauses.is_empty() && rotated, "{:?}", driver.pauses);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_finds_out_and_indexes_nothing() {
    let ground = custodex::ground::Ground::real();
    let probe = async |ways: Ways, keys: &str| {
        let receiver = Receiver::start(ways);
        let driver = Driver::new(&receiver, keys);
        let found = driver.config.probe(&ground).await.map_err(|error| error.to_string());
        assert!(receiver.known().indexed.is_empty());
        found
    };
    let found = probe(Ways::default(), "").await.unwrap();
    assert!(found.ends_with("/ accepts the token and acknowledges"), "{found}");
    let error = probe(Ways { no_acks: true, ..Ways::default() }, "").await.unwrap_err();
    assert!(error.contains("no indexer acknowledgement"), "{error}");
    let found = probe(Ways { no_acks: true, ..Ways::default() }, "acknowledgements = false").await.unwrap();
    assert!(found.ends_with("accepts the token"), "{found}");
    let receiver = Receiver::start(Ways::default());
    receiver.known().token = "another".into();
    let driver = Driver::new(&receiver, "");
    let error = driver.config.probe(&ground).await.unwrap_err();
    assert_eq!(error.to_string(), "the collector answered 403 code 4: invalid token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_without_gzip_gets_plain_bodies() {
    let items = items(100, 100);
    let (receiver, driver) = run(Ways { no_gzip: true, ..Ways::default() }, "", &items, 50).await;
    assert_indexed(&receiver, &items, &[], false);
    assert!(driver.dead.is_empty(), "{:?}", driver.dead);
}
