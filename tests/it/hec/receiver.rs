//! A collector written from Splunk's documentation, with replies as real ones give them, that can misbehave.
//!
//! What it took is *indexed* only when its acknowledgement has been read; a kill before that loses it, as a
//! real one may. Acknowledgement ids belong to a channel of one indexer, and read true once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::support::pause;

pub const TOKEN: &str = "11111111-aaaa-4bbb-8ccc-222222222222";

/// The ways to misbehave; counts are used up.
#[expect(clippy::struct_excessive_bools, reason = "independent of each other")]
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// The token has no acknowledgements.
    pub no_acks: bool,
    /// The question for acknowledgements is answered, but events get no id.
    pub no_ids: bool,
    pub never_ack: bool,
    /// Questions that an id reads false before it reads true.
    pub false_first: u32,
    /// Posts answered 503, code 9.
    pub busy: u32,
    /// Posts refused with this status and code.
    pub deny: Option<(u16, i64)>,
    /// Larger bodies are answered 413.
    pub max_bytes: Option<usize>,
    /// An event that holds this text is refused with this code.
    pub poison: Option<(&'static str, i64)>,
    /// The refusal repeats the event.
    pub echo: bool,
    /// The refusal names the event.
    pub number: bool,
    /// The events before it are indexed all the same.
    pub prefix_indexed: bool,
    /// Code of every 200.
    pub full: Option<i64>,
    /// Posts that are taken, but the connection breaks before the answer.
    pub cut: u32,
    /// Packed bodies are not understood.
    pub no_gzip: bool,
    /// Two indexers behind a balancer, held apart by a cookie.
    pub balanced: bool,
}

/// What it knows.
#[derive(Debug)]
pub struct Known {
    pub token: String,
    pub ways: Ways,
    /// Ids of indexed events, and how often.
    pub indexed: BTreeMap<String, u32>,
    pub envelopes: Vec<Value>,
    /// Bytes of each body that was taken, before compression.
    pub bodies: Vec<usize>,
    pub posts: u32,
    pub questions: u32,
    pub acked: u32,
    pub channels: HashSet<String>,
    indexers: [Indexer; 2],
    turn: usize,
}

#[derive(Debug, Default)]
struct Indexer {
    next: HashMap<String, u64>,
    pending: HashMap<(String, u64), (Vec<Value>, u32)>,
}

/// One that listens on loopback.
pub struct Receiver {
    pub address: SocketAddr,
    known: Arc<Mutex<Known>>,
    runtime: Option<Runtime>,
}

impl Receiver {
    pub fn start(ways: Ways) -> Self {
        let known = Known {
            token: TOKEN.into(),
            ways,
            indexed: BTreeMap::new(),
            envelopes: Vec::new(),
            bodies: Vec::new(),
            posts: 0,
            questions: 0,
            acked: 0,
            channels: HashSet::new(),
            indexers: Default::default(),
            turn: 0,
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let mut receiver = Self { address, known: Arc::new(Mutex::new(known)), runtime: None };
        receiver.revive();
        receiver
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// The same, for whoever looks while something else goes on.
    pub fn shared(&self) -> Arc<Mutex<Known>> {
        self.known.clone()
    }

    /// What it answers, for another listener.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/services/collector/event", post(event))
            .route("/services/collector/ack", post(ack))
            .route("/services/collector/health", get(health))
            .with_state(self.known.clone())
    }

    /// Ends at once; what was not acknowledged is gone, and ids begin again.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.known().indexers = Default::default();
    }

    /// Listens again, on the same address.
    pub fn revive(&mut self) {
        let listener = (0..100).find_map(|_| {
            let bound = std::net::TcpListener::bind(self.address).ok();
            bound.or_else(|| {
                pause(Duration::from_millis(20));
                None
            })
        });
        let listener = listener.expect("the address is free again");
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let router = self.router();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Shared = State<Arc<Mutex<Known>>>;
type Answer = Response<Body>;

async fn health() -> Answer {
    reply(200, &json!({"text": "HEC is healthy", "code": 17}))
}

async fn event(State(known): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let mut known = known.lock().unwrap();
    known.posts += 1;
    match known.take(&headers, &body) {
        Err((status, text, code)) => reply(status, &json!({"text": text, "code": code})),
        Ok((indexer, mut said)) => {
            if known.ways.cut > 0 {
                known.ways.cut -= 1;
                let torn = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
                return Response::new(Body::from_stream(torn));
            }
            let status = if said["code"] == 0 { 200 } else { 400 };
            if let Some(code) = known.ways.full.filter(|_| status == 200) {
                said["code"] = code.into();
            }
            routed(reply(status, &said), indexer, known.ways.balanced)
        }
    }
}

async fn ack(State(known): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let mut known = known.lock().unwrap();
    known.questions += 1;
    if let Err((status, text, code)) = known.admit(&headers) {
        return reply(status, &json!({"text": text, "code": code}));
    }
    if known.ways.no_acks {
        return reply(400, &json!({"text": "ACK is disabled", "code": 14}));
    }
    let Some(channel) = channel(&headers) else {
        return reply(400, &json!({"text": "Data channel is missing", "code": 10}));
    };
    if headers.get("content-type").is_none_or(|kind| kind != "application/json") {
        return reply(415, &json!({"text": "Unsupported media type", "code": 6}));
    }
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let indexer = known.route(&headers);
    let mut said = serde_json::Map::new();
    for id in asked["acks"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()) {
        said.insert(id.to_string(), known.read(indexer, &channel, id).into());
    }
    routed(reply(200, &json!({ "acks": said })), indexer, known.ways.balanced)
}

impl Known {
    fn admit(&self, headers: &HeaderMap) -> Result<(), (u16, &'static str, i64)> {
        let Some(said) = headers.get("authorization").map(|value| value.to_str().unwrap()) else {
            return Err((401, "Token is required", 2));
        };
        match said.strip_prefix("Splunk ") {
            None => Err((401, "Invalid authorization", 3)),
            Some(token) if token != self.token => Err((403, "Invalid token", 4)),
            Some(_) => Ok(()),
        }
    }

    /// Takes a body; answers which indexer it went to, and what that says.
    fn take(&mut self, headers: &HeaderMap, body: &[u8]) -> Result<(usize, Value), (u16, &'static str, i64)> {
        self.admit(headers)?;
        if body.is_empty() {
            return Err((400, "No data", 5));
        }
        if let Some((status, code)) = self.ways.deny {
            return Err((status, "Denied", code));
        }
        if self.ways.busy > 0 {
            self.ways.busy -= 1;
            return Err((503, "Server is busy", 9));
        }
        let plain = if headers.get("content-encoding").is_some() && !self.ways.no_gzip {
            unpack(body)
        } else {
            body.to_vec()
        };
        if self.ways.max_bytes.is_some_and(|most| plain.len() > most) {
            return Err((413, "Request entity too large", 27));
        }
        let acks = !(self.ways.no_acks || self.ways.no_ids);
        let channel = channel(headers).ok_or((400, "Data channel is missing", 10))?;
        self.channels.insert(channel.clone());
        let indexer = self.route(headers);
        // Refused requests use up ids, too.
        let next = self.indexers[indexer].next.entry(channel.clone()).or_default();
        let id = *next;
        *next += 1;
        let events: Vec<Value> = serde_json::Deserializer::from_slice(&plain)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|_| (400, "Invalid data format", 6))?;
        if let Some((at, code)) = self.refused(&events) {
            if self.ways.prefix_indexed {
                self.index(events[..at].to_vec());
            }
            let mut said = json!({"text": "Invalid data format", "code": code});
            if self.ways.echo {
                said["text"] = events[at]["event"].to_string().into();
            }
            if self.ways.number {
                said["invalid-event-number"] = at.into();
            }
            return Ok((indexer, said));
        }
        self.bodies.push(plain.len());
        let mut said = json!({"text": "Success", "code": 0});
        if acks {
            said["ackId"] = id.into();
            self.indexers[indexer].pending.insert((channel, id), (events, 0));
        } else {
            self.index(events);
        }
        Ok((indexer, said))
    }

    fn refused(&self, events: &[Value]) -> Option<(usize, i64)> {
        events.iter().enumerate().find_map(|(at, event)| match (&event["event"], self.ways.poison) {
            (Value::Null, _) => Some((at, 12)),
            (Value::String(text), _) if text.is_empty() => Some((at, 13)),
            (body, Some((text, code))) if body.to_string().contains(text) => Some((at, code)),
            _ => None,
        })
    }

    /// Whether an id reads true; once it does, its events are indexed and it never does again.
    fn read(&mut self, indexer: usize, channel: &str, id: u64) -> bool {
        let key = (channel.to_owned(), id);
        let Ways { never_ack, false_first, .. } = self.ways;
        let Some((_, asked)) = self.indexers[indexer].pending.get_mut(&key) else { return false };
        *asked += 1;
        if never_ack || *asked <= false_first {
            return false;
        }
        let (events, _) = self.indexers[indexer].pending.remove(&key).unwrap();
        self.index(events);
        self.acked += 1;
        true
    }

    fn index(&mut self, events: Vec<Value>) {
        for event in events {
            let id = event["fields"]["id"].as_str().unwrap().to_owned();
            *self.indexed.entry(id).or_default() += 1;
            self.envelopes.push(event);
        }
    }

    /// The indexer a request goes to: that of its cookie, else the next.
    fn route(&mut self, headers: &HeaderMap) -> usize {
        if !self.ways.balanced {
            return 0;
        }
        let cookies = headers.get("cookie").map_or("", |value| value.to_str().unwrap());
        if let Some(route) = cookies.split("; ").find_map(|pair| pair.strip_prefix("route=")) {
            return route.parse().unwrap();
        }
        self.turn += 1;
        self.turn % 2
    }
}

fn channel(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("x-splunk-request-channel")?.to_str().unwrap();
    (text.len() == 36).then(|| text.to_owned())
}

fn unpack(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain
}

fn reply(status: u16, body: &Value) -> Answer {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}

fn routed(mut answer: Answer, indexer: usize, balanced: bool) -> Answer {
    if balanced {
        let cookie = format!("route={indexer}; Path=/; HttpOnly").parse().unwrap();
        answer.headers_mut().append("set-cookie", cookie);
    }
    answer
}
