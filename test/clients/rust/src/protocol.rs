//! What goes over the pipe: one JSON object a line, requests in, answers and events out.
//!
//! `{"id": 1, "do": "open", "room_id": "!r:hs"}` is answered by `{"id": 1, "ok": …}` or `{"id": 1, "error": "…"}`.
//! What the SDK would show its user is told without being asked, always whole and never as a difference:
//! `{"event": "rooms", …}`, `{"event": "timeline", …}`, `{"event": "typing", …}`, `{"event": "sync", …}`.

use std::{io::Write, path::PathBuf};

use matrix_sdk::ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub struct Request {
    pub id: u64,
    #[serde(flatten)]
    pub command: Command,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Logs in with a password. The session is written to the store, for `restore`.
    Login {
        homeserver: String,
        /// Whether `homeserver` is what a user types, and the address is in its well-known file.
        discover: bool,
        store: PathBuf,
        user: String,
        password: String,
        device_id: OwnedDeviceId,
        /// Whether an address in the answer replaces the one that was asked.
        respect_well_known: bool,
    },
    /// Goes on with the session of an earlier process.
    Restore {
        homeserver: String,
        store: PathBuf,
    },
    /// Begins to sync: room list and encryption, each on a connection of its own.
    Start,
    /// Subscribes to a room and shows its timeline. The room that was open before is closed.
    Open {
        room_id: OwnedRoomId,
    },
    /// Loads earlier messages of the open room.
    Older {
        count: u16,
    },
    /// Sends a text to the open room by the send queue: first a local echo, then the event that comes by sync.
    Send {
        body: String,
    },
    /// Sends a read receipt for the newest event of the open room.
    MarkRead,
    /// Says in the open room that the user types, or has stopped.
    Typing {
        typing: bool,
    },
    /// Makes an encrypted room with another user.
    CreateDm {
        user_id: OwnedUserId,
    },
    Invite {
        room_id: OwnedRoomId,
        user_id: OwnedUserId,
    },
    Join {
        room_id: OwnedRoomId,
    },
    Leave {
        room_id: OwnedRoomId,
    },
}

/// Writes a line; whole lines, whichever task writes. When nobody reads any more there is nobody to tell.
pub fn write(value: &Value) {
    let mut line = value.to_string();
    line.push('\n');
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}
