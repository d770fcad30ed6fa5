//! What the SDK shows of rooms, told as events whenever it changes.

use std::{pin::pin, sync::Arc};

use futures_util::{Stream, StreamExt};
use matrix_sdk::Room;
use matrix_sdk_ui::{
    eyeball_im::Vector,
    room_list_service::{RoomList, RoomListItem, filters::new_filter_non_left},
    sync_service::State,
    timeline::{EventTimelineItem, LatestEventValue, RoomExt, Timeline, TimelineItem, TimelineItemContent},
};
use serde_json::{Value, json};

use crate::protocol::write;

/// More than any test has rooms.
const PAGE_SIZE: usize = 1000;

/// Whether the two sync loops run.
pub async fn watch_sync(mut states: impl Stream<Item = State> + Unpin) {
    while let Some(state) = states.next().await {
        let name = match state {
            State::Idle => "idle",
            State::Running => "running",
            State::Terminated => "terminated",
            State::Error(_) => "error",
            State::Offline => "offline",
        };
        write(&json!({ "event": "sync", "state": name }));
    }
}

/// The rooms that are joined or that the user is invited to, in the order of the room list.
/// `responses` has something after each response: some numbers change without the list saying so.
pub async fn watch_rooms<T>(list: RoomList, mut responses: impl Stream<Item = T> + Unpin) {
    let (diffs, controller) = list.entries_with_dynamic_adapters(PAGE_SIZE);
    controller.set_filter(Box::new(new_filter_non_left()));
    let mut diffs = pin!(diffs);
    let mut rooms: Vector<RoomListItem> = Vector::new();
    loop {
        tokio::select! {
            Some(batch) = diffs.next() => for diff in batch { diff.apply(&mut rooms) },
            Some(_) = responses.next() => {}
            else => return,
        }
        let mut described = Vec::new();
        for room in &rooms {
            described.push(describe_room(room).await);
        }
        write(&json!({ "event": "rooms", "rooms": described }));
    }
}

async fn describe_room(room: &Room) -> Value {
    let counts = room.unread_notification_counts();
    let latest = match room.latest_event().await {
        LatestEventValue::Remote { content, .. } | LatestEventValue::Local { content, .. } => body_of(&content),
        LatestEventValue::RemoteInvite { .. } | LatestEventValue::None => None,
    };
    json!({
        "room_id": room.room_id(),
        "state": format!("{:?}", room.state()).to_lowercase(),
        // Computed by the SDK as responses come. To compute it here, beside that, may leave an old one for good.
        "name": room.cached_display_name().map(|name| name.to_string()),
        "topic": room.topic(),
        "is_dm": room.is_direct().await.expect("the store can be read"),
        "is_encrypted": room.encryption_state().is_encrypted(),
        "joined_count": room.joined_members_count(),
        "invited_count": room.invited_members_count(),
        // What the server counted, and what the SDK counts of the messages it could read.
        "notification_count": counts.notification_count,
        "highlight_count": counts.highlight_count,
        "unread_messages": room.num_unread_messages(),
        "latest": latest,
    })
}

/// The events of an open room, oldest first, local echoes included.
pub async fn watch_timeline(timeline: Arc<Timeline>) {
    let (mut items, diffs) = timeline.subscribe().await;
    let mut diffs = pin!(diffs);
    loop {
        let events: Vec<Value> = items.iter().filter_map(|item: &Arc<TimelineItem>| item.as_event()).map(describe_event).collect();
        write(&json!({ "event": "timeline", "room_id": timeline.room().room_id(), "events": events }));
        let Some(batch) = diffs.next().await else { return };
        for diff in batch {
            diff.apply(&mut items);
        }
    }
}

fn describe_event(event: &EventTimelineItem) -> Value {
    json!({
        "event_id": event.event_id(),
        "sender": event.sender(),
        "local_echo": event.is_local_echo(),
        "body": body_of(event.content()),
        "encrypted": event.encryption_info().is_some(),
        "undecryptable": event.content().is_unable_to_decrypt(),
        "read_by": event.read_receipts().keys().collect::<Vec<_>>(),
    })
}

fn body_of(content: &TimelineItemContent) -> Option<String> {
    content.as_message().map(|message| message.body().to_owned())
}

/// Who else types in an open room.
pub async fn watch_typing(room: Room) {
    let (_guard, mut typing) = room.subscribe_to_typing_notifications();
    while let Ok(user_ids) = typing.recv().await {
        write(&json!({ "event": "typing", "room_id": room.room_id(), "user_ids": user_ids }));
    }
}
