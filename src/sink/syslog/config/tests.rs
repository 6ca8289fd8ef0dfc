//! Defaults, and what is refused where.

use toml::de::{DeValue, ValueDeserializer};

use super::*;

fn read(text: &str) -> Result<SyslogConfig, Error> {
    let table = toml::de::DeTable::parse(text).unwrap();
    let table = Spanned::new(0..text.len(), DeValue::Table(table.into_inner()));
    SyslogConfig::read(ValueDeserializer::from(table))
}

#[test]
fn defaults_are_those_of_the_design() {
    let tls = read("address = 'tls://collector.example.com:6514'").unwrap();
    assert_eq!((tls.framing, tls.max_message_bytes), (Framing::OctetCounted, 8000));
    assert_eq!((tls.style.header, tls.style.facility), (Header::Rfc5424, 16));
    assert_eq!((tls.style.app_name.as_str(), tls.style.enterprise), ("custodex", None));
    assert_eq!(tls.style.hostname, machine());
    assert_eq!(tls.guarantee(), Guarantee::Sent);
    let udp = read("address = 'udp://[::1]:514'").unwrap();
    assert_eq!((udp.max_message_bytes, udp.address.to_string().as_str()), (2048, "udp://[::1]:514"));
    let relp = read("address = 'relp+tls://10.1.2.3:2514'").unwrap();
    assert_eq!(relp.guarantee(), Guarantee::Accepted);
    let local = read("address = 'unix:/dev/log'\nheader = 'rfc3164'\nfacility = 'audit'").unwrap();
    assert_eq!((local.framing, local.style.facility), (Framing::Newline, 13));
    assert_eq!(read("address = 'unix:///dev/log'").unwrap().address, local.address);
    let more =
        "address = 'tcp://h:1'\nframing = 'newline'\nenterprise_id = 32473\nmax_message_bytes = '64KB'";
    let more = read(more).unwrap();
    assert_eq!((more.framing, more.style.enterprise), (Framing::Newline, Some(32473)));
    assert_eq!(more.max_message_bytes, 64_000);
}

#[test]
fn a_replay_has_names_of_its_own() {
    let config = |lines: &str| read(&format!("address = 'udp://h:1'\nhostname = 'h'\n{lines}")).unwrap();
    assert!(config("").replaying("r").is_none() && config("").replay_fault().is_none());
    let named = config("replay = { app_name = 'again', facility = 'audit' }");
    let batch = Batch { bytes: b"{}\n".to_vec(), ends: vec![3], about: vec![crate::sink::About::default()] };
    let shown = String::from_utf8(named.replaying("r").unwrap().render(&batch)).unwrap();
    assert!(shown.starts_with("<110>1 - h again "), "{shown}");
    assert!(named.replay_fault().is_none());
    for same in ["{}", "{ app_name = 'custodex' }", "{ facility = 'local0' }"] {
        assert!(config(&format!("replay = {same}")).replay_fault().is_some(), "{same}");
    }
    assert!(read("address = 'udp://h:1'\nreplay = { app_name = 'a b' }").is_err());
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    for address in [
        "collector.example.com",
        "http://h:1",
        "tls://h",
        "tls://h:0",
        "tls://h:65536",
        "tls://:6514",
        "tls://h:6514/",
        "tls://u@h:6514",
        "tls://[::1",
        "tls://::1:6514",
        "tls://[h]:1",
        "unix:dev/log",
        "unix:",
        "TLS://h:1",
        "tcp://a b:1",
    ] {
        let error = read(&format!("address = '{address}'")).unwrap_err();
        assert!(error.message().contains('\n'), "{address}: {error}");
        assert_eq!(error.span().unwrap().start, 10, "{address}");
    }
}

#[test]
fn wrong_values_are_named_where_they_stand() {
    for (address, line, says) in [
        ("udp://h:1", "framing = 'newline'", "framing means nothing here"),
        ("relp://h:1", "framing = 'newline'", "framing means nothing here"),
        ("tcp://h:1", "framing = 'lines'", "unknown variant `lines`"),
        ("tcp://h:1", "facility = 'local8'", "not a facility"),
        ("tcp://h:1", "enterprise_id = 0", "nonzero"),
        ("tcp://h:1", "hostname = ''", "does not fit into the header"),
        ("tcp://h:1", "hostname = 'two words'", "does not fit into the header"),
        ("tcp://h:1", "app_name = 'é'", "does not fit into the header"),
        ("tcp://h:1", "max_message_bytes = 1023", "out of range"),
        ("tcp://h:1", "max_message_bytes = -1", "not a size"),
        ("tcp://h:1", "max_message_bytes = '17MiB'", "out of range"),
        ("udp://h:1", "max_message_bytes = 65508", "out of range"),
        ("tcp://h:1", "tls = {}", "tcp:// sends in plaintext"),
        ("relp://h:1", "tls = {}", "relp:// sends in plaintext"),
        ("udp://h:1", "tls = {}", "knows no TLS"),
        ("unix:/x", "tls = {}", "knows no TLS"),
        ("tls://h:1", "tls = { cert_file = '/x' }", "needs its key"),
        ("tls://h:1", "tls = { key_file = '/x' }", "needs its certificate"),
        ("tls://h:1", "tls = { server_name = 'a b' }", "no name of a host"),
        ("tls://h:1", "tls = { insecure = true }", "unknown field `insecure`"),
    ] {
        let text = format!("address = '{address}'\n{line}\n");
        let error = read(&text).unwrap_err();
        assert!(error.message().contains(says), "{line}: {error}");
        assert!(
            error.span().is_some_and(|span| span.start > address.len() + 12),
            "{line}: {:?}",
            error.span()
        );
    }
    let tag = read("address = 'tcp://h:1'\nheader = 'rfc3164'\napp_name = 'a:b'").unwrap_err();
    assert!(tag.message().contains("1 to 32 letters"), "{tag}");
    assert!(read("").unwrap_err().message().contains("missing field `address`"));
}
