//! A client on the SDK that Element X is built on, driven over a pipe. It does what Element X does when it
//! starts: `SyncService` with a shared position and offline mode, and a timeline for the room that is open.
//! Standard error has the SDK's warnings. It ends, in good order, when its standard input does.

// The SDK's futures are nested deeply.
#![recursion_limit = "256"]

mod protocol;
mod session;
mod views;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tracing_subscriber::filter::LevelFilter;

use crate::protocol::{Request, write};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_writer(std::io::stderr).with_ansi(false).init();
    let mut session = None;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Request { id, command } = serde_json::from_str(&line)?;
        write(&match session::run(&mut session, command).await {
            Ok(ok) => json!({ "id": id, "ok": ok }),
            Err(error) => json!({ "id": id, "error": format!("{error:#}") }),
        });
    }
    if let Some(session) = session {
        session.stop().await;
    }
    Ok(())
}
