//! Requests, counted on their way out: where to, and what came back. Never looks at content.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::net::{NetError, Request, Response, Transport};
use crate::vitals::Vitals;

/// A way to send requests that counts them.
#[derive(Debug)]
pub(super) struct Counting {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) vitals: Arc<Vitals>,
}

impl Transport for Counting {
    fn get(&self, request: Request) -> BoxFuture<'_, Result<Response, NetError>> {
        // Signed addresses, and they alone, are asked without a key.
        let to = if request.authorization.is_some() { "api" } else { "files" };
        Box::pin(async move {
            let answered = self.inner.get(request).await;
            let answer = answered.as_ref().map_or("none", |response| class(response.status));
            self.vitals.meter.request(to, answer);
            answered
        })
    }
}

fn class(status: u16) -> &'static str {
    match status {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
