//! Whether ruma, the strictest of Matrix's parsers in use, takes answers of simplified sliding sync (unstable dialect).
//!
//! Reads one answer's body a line on stdin; writes a line for each on stdout: `null`, or the reason as a JSON string. Typing and receipts are
//! looked into as well: they are events that this server writes itself. All other events are raw to ruma, and to this.

use std::io::{BufRead, Write};

use ruma_client_api::sync::sync_events::v5::Response;
use ruma_common::api::IncomingResponseExt;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let reason = judge(line?.as_bytes()).err();
        serde_json::to_writer(&mut out, &reason)?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

fn judge(body: &[u8]) -> Result<(), String> {
    let answer = http::Response::builder().status(200).body(body).map_err(|error| error.to_string())?;
    let response = Response::try_from_http_response(answer).map_err(|error| error.to_string())?;
    for (room, event) in &response.extensions.typing.rooms {
        event.deserialize().map_err(|error| format!("typing of {room}: {error}"))?;
    }
    for (room, event) in &response.extensions.receipts.rooms {
        event.deserialize().map_err(|error| format!("receipts of {room}: {error}"))?;
    }
    Ok(())
}
