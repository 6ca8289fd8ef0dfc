//! Real receivers of syslog, each a copy of its own: free ports, a folder, ended by its process.
//!
//! `tests/support/receivers` installs them; one that is missing fails the test.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde::Deserialize;

use crate::support::{Process, pause};

/// What a receiver has to be told about, and what the tests look at.
#[derive(Debug, Deserialize)]
pub struct Received {
    /// Which of its inputs.
    pub input: String,
    /// Facility and severity; rsyslog only.
    pub pri: Option<String>,
    pub time: String,
    pub host: String,
    pub app: String,
    pub msgid: String,
    /// Structured data as it came; rsyslog only.
    pub sd: Option<String>,
    pub msg: String,
}

/// A running receiver.
pub struct Receiver {
    name: &'static str,
    process: Option<Process>,
    folder: PathBuf,
    /// Answers when it is up.
    ready: u16,
}

/// A port that is free now, for both protocols.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// Certificates of a test authority: `ca.pem`, and `NAME.pem` with `NAME.key` for each that is issued.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = folder.file_name().unwrap().to_str().unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("authority {name}"));
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder: folder.to_owned() }
    }

    /// For a host that is also found at 127.0.0.1, if `local`.
    pub fn issue(&self, name: &str, host: &str, local: bool, expired: bool) {
        let mut hosts = vec![host.to_owned()];
        if local {
            hosts.push("127.0.0.1".to_owned());
        }
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }
}

/// The ports of an rsyslog.
pub struct RsyslogPorts {
    pub udp: u16,
    pub tcp: u16,
    pub tls: u16,
    pub relp: u16,
    pub relp_tls: u16,
}

pub fn rsyslog(folder: &Path, authority: &Authority) -> (Receiver, RsyslogPorts) {
    fs::create_dir_all(folder).unwrap();
    let ports = RsyslogPorts {
        udp: free_port(),
        tcp: free_port(),
        tls: free_port(),
        relp: free_port(),
        relp_tls: free_port(),
    };
    let (ca, certificate, key) =
        (authority.file("ca.pem"), authority.file("server.pem"), authority.file("server.key"));
    let fields = [
        ("input", "inputname"),
        ("pri", "pri"),
        ("time", "timereported\" dateFormat=\"rfc3339"),
        ("host", "hostname"),
        ("app", "app-name"),
        ("msgid", "msgid"),
        ("sd", "structured-data"),
        ("msg", "msg"),
    ];
    let property = |(out, name): &(&str, &str)| {
        format!("  property(outname=\"{out}\" name=\"{name}\" format=\"jsonf\")\n")
    };
    let fields = fields.iter().map(property).collect::<Vec<_>>().concat();
    // Direct queues: a RELP answer then means that the message is in the file. As received: what our side
    // let through would be seen.
    let text = format!(
        r#"global(workDirectory="{folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
main_queue(queue.type="Direct")
module(load="imudp")
module(load="imtcp" maxSessions="50")
module(load="imrelp" tls.tlslib="openssl")
template(name="parsed" type="list" option.jsonf="on") {{
{fields}}}
ruleset(name="w" queue.type="Direct") {{ action(type="omfile" file="{folder}/out.json" template="parsed") }}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="w" name="udp" rcvbufSize="16m")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="w" name="tcp")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="w" name="tls" streamDriver.name="ossl"
  streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer=["client.test"])
input(type="imrelp" address="127.0.0.1" port="{relp}" ruleset="w" name="relp" maxDataSize="64k")
input(type="imrelp" address="127.0.0.1" port="{relp_tls}" ruleset="w" name="relp_tls" maxDataSize="64k" tls="on"
  tls.authMode="name" tls.permittedPeer=["client.test"] tls.caCert="{ca}" tls.myCert="{certificate}" tls.myPrivKey="{key}")
"#,
        folder = folder.display(),
        udp = ports.udp,
        tcp = ports.tcp,
        tls = ports.tls,
        relp = ports.relp,
        relp_tls = ports.relp_tls,
    );
    fs::write(folder.join("receiver.conf"), text).unwrap();
    let receiver = Receiver::start("rsyslogd", folder, ports.relp_tls);
    (receiver, ports)
}

/// The ports of a syslog-ng.
pub struct SyslogNgPorts {
    pub udp: u16,
    pub tcp: u16,
    pub tls: u16,
}

pub fn syslog_ng(folder: &Path, authority: &Authority) -> (Receiver, SyslogNgPorts) {
    fs::create_dir_all(folder).unwrap();
    let ports = SyslogNgPorts { udp: free_port(), tcp: free_port(), tls: free_port() };
    let source = |name: &str, port: u16, more: &str| {
        format!(
            "log {{ source {{ syslog(ip(\"127.0.0.1\") port({port}) {more} tags(\"{name}\")); }}; \
             rewrite {{ set(\"{name}\" value(\"INPUT\")); }}; destination(out); flags(flow-control); }};\n"
        )
    };
    let tls = format!(
        "transport(\"tls\") tls(key-file(\"{}\") cert-file(\"{}\") ca-file(\"{}\") peer-verify(required-trusted))",
        authority.file("server.key"),
        authority.file("server.pem"),
        authority.file("ca.pem"),
    );
    let text = format!(
        "@version: 3.38\noptions {{ log-msg-size(65536); keep-hostname(yes); frac-digits(6); stats-freq(0); \
         use-dns(no); }};\n\
         destination out {{ file(\"{}/out.json\" template(\"$(format-json input=$INPUT time=$S_ISODATE \
         host=$HOST app=$PROGRAM msgid=$MSGID msg=$MESSAGE)\\n\")); }};\n{}{}{}",
        folder.display(),
        source("udp", ports.udp, "transport(\"udp\") so-rcvbuf(16777216)"),
        source("tcp", ports.tcp, "transport(\"tcp\")"),
        source("tls", ports.tls, &tls),
    );
    fs::write(folder.join("receiver.conf"), text).unwrap();
    (Receiver::start("syslog-ng", folder, ports.tls), ports)
}

impl Receiver {
    fn start(name: &'static str, folder: &Path, ready: u16) -> Self {
        let mut receiver = Self { name, process: None, folder: folder.to_owned(), ready };
        receiver.start_again();
        receiver
    }

    /// Starts it, and waits until it listens.
    pub fn start_again(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = if self.name == "rsyslogd" { self.rsyslogd() } else { self.syslog_ng() };
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; run tests/support/receivers", self.name));
        self.process = Some(Process(child));
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.ready)).is_ok() {
                return;
            }
            let ended = self.process.as_mut().unwrap().0.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {}", self.name, self.log());
            pause(Duration::from_millis(20));
        }
        panic!("{} does not listen: {}", self.name, self.log());
    }

    fn rsyslogd(&self) -> Command {
        let file = |name: &str| self.folder.join(name);
        let mut command = Command::new("rsyslogd");
        command.arg("-n").arg("-f").arg(file("receiver.conf")).arg("-i").arg(file("pid"));
        // Beside the package manager's own path, which an ordinary user's does not hold.
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        command
    }

    fn syslog_ng(&self) -> Command {
        let tools = std::env::var_os("CUSTODEX_TOOLS")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"), PathBuf::from);
        let root = tools.join("syslog-ng/usr");
        let file = |name: &str| self.folder.join(name);
        let mut command = Command::new(root.join("sbin/syslog-ng"));
        let libraries = root.join("lib/syslog-ng");
        command.env("LD_LIBRARY_PATH", &libraries).args(["-F", "--no-caps"]);
        command.arg(format!("--module-path={}", libraries.join("3.38").display()));
        command.arg("-f").arg(file("receiver.conf")).arg("-R").arg(file("persist"));
        command.arg("-p").arg(file("pid")).arg("-c").arg(file("ctl"));
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.0.kill().unwrap();
        assert_eq!(process.0.wait().unwrap().signal(), Some(9));
    }

    /// What it has written so far. A line that it was killed in the middle of was never acknowledged; what it
    /// wrote after the next start stands behind it.
    pub fn received(&self) -> Vec<Received> {
        let bytes = fs::read(self.folder.join("out.json")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let whole = |line: &str| {
            let again = line.rfind("{\"input\":").map_or(line, |at| &line[at..]);
            serde_json::from_str(line).or_else(|_| serde_json::from_str(again)).ok()
        };
        text.lines().filter_map(whole).collect()
    }

    /// Waits until so many messages are there, and then whether more come.
    pub fn await_messages(&self, count: usize) -> Vec<Received> {
        let lines = || {
            fs::read(self.folder.join("out.json"))
                .map_or(0, |bytes| memchr::memchr_iter(b'\n', &bytes).count())
        };
        let mut last = 0;
        for quiet in 0..100 {
            let now = lines();
            if now >= count && quiet > 2 {
                break;
            }
            last = now;
            pause(Duration::from_millis(100));
        }
        assert!(lines() >= count, "{} has {last} of {count} messages: {}", self.name, self.log());
        self.received()
    }
}
