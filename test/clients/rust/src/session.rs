//! A logged-in client: what it has been told to do so far, and the commands on it.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow};
use matrix_sdk::{
    Client, ClientBuilder, Room,
    authentication::matrix::MatrixSession,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    ruma::{RoomId, api::client::receipt::create_receipt::v3::ReceiptType, events::room::message::RoomMessageEventContent},
    sliding_sync::VersionBuilder,
};
use matrix_sdk_ui::{
    sync_service::SyncService,
    timeline::{RoomExt, Timeline},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{protocol::Command, views};

/// In the store's directory. The SDK keeps everything but the access token.
const SESSION_FILE: &str = "session.json";

pub struct Session {
    client: Client,
    sync: Option<Arc<SyncService>>,
    /// Tell of syncing and of the room list until the process ends.
    _watchers: JoinSet<()>,
    open: Option<OpenRoom>,
}

struct OpenRoom {
    timeline: Arc<Timeline>,
    /// Tell of the timeline and of who types; ended when another room is opened.
    _watchers: JoinSet<()>,
}

/// Does a command and returns what it is answered with.
pub async fn run(session: &mut Option<Session>, command: Command) -> Result<Value> {
    match command {
        Command::Login { homeserver, discover, store, user, password, device_id, respect_well_known } => {
            let builder = builder(&store)?.respect_login_well_known(respect_well_known);
            let builder = if discover { builder.server_name_or_homeserver_url(homeserver) } else { builder.homeserver_url(homeserver) };
            let client = builder.build().await?;
            let auth = client.matrix_auth();
            auth.login_username(user, &password).device_id(device_id.as_str()).send().await?;
            let stored = serde_json::to_vec(&auth.session().context("no session after the login")?)?;
            fs::write(store.join(SESSION_FILE), stored)?;
            client.encryption().wait_for_e2ee_initialization_tasks().await;
            Ok(session.insert(Session::new(client)).describe())
        }
        Command::Restore { homeserver, store } => {
            let client = builder(&store)?.homeserver_url(homeserver).build().await?;
            let stored: MatrixSession = serde_json::from_slice(&fs::read(store.join(SESSION_FILE))?)?;
            client.restore_session(stored).await?;
            client.encryption().wait_for_e2ee_initialization_tasks().await;
            Ok(session.insert(Session::new(client)).describe())
        }
        other => session.as_mut().context("not logged in")?.run(other).await,
    }
}

fn builder(store: &Path) -> Result<ClientBuilder> {
    // As in Element X.
    let encryption = EncryptionSettings {
        auto_enable_cross_signing: true,
        auto_enable_backups: true,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
    };
    fs::create_dir_all(store)?;
    Ok(Client::builder()
        .sqlite_store(store, None)
        // From /versions: fails where the server does not say that it has simplified sliding sync.
        .sliding_sync_version_builder(VersionBuilder::DiscoverNative)
        .with_encryption_settings(encryption))
}

impl Session {
    fn new(client: Client) -> Self {
        Self { client, sync: None, _watchers: JoinSet::new(), open: None }
    }

    /// Ends syncing, so that what was received is stored.
    pub async fn stop(&self) {
        if let Some(sync) = &self.sync {
            sync.stop().await;
        }
    }

    fn describe(&self) -> Value {
        json!({
            "user_id": self.client.user_id(),
            "device_id": self.client.device_id(),
            "homeserver": self.client.homeserver(),
        })
    }

    async fn run(&mut self, command: Command) -> Result<Value> {
        match command {
            Command::Login { .. } | Command::Restore { .. } => return Err(anyhow!("logged in already")),
            Command::Start => self.start().await?,
            Command::Open { room_id } => self.open(&room_id).await?,
            Command::Older { count } => {
                let reached_start = self.timeline()?.paginate_backwards(count).await?;
                return Ok(json!({ "reached_start": reached_start }));
            }
            Command::Send { body } => {
                self.timeline()?.send(RoomMessageEventContent::text_plain(body).into()).await?;
            }
            Command::MarkRead => {
                let sent = self.timeline()?.mark_as_read(ReceiptType::Read).await?;
                return Ok(json!({ "sent": sent }));
            }
            Command::Typing { typing } => self.timeline()?.room().typing_notice(typing).await?,
            Command::CreateDm { user_id } => {
                let room = self.client.create_dm(&user_id).await?;
                return Ok(json!({ "room_id": room.room_id() }));
            }
            Command::Invite { room_id, user_id } => self.room(&room_id)?.invite_user_by_id(&user_id).await?,
            Command::Join { room_id } => self.room(&room_id)?.join().await?,
            Command::Leave { room_id } => self.room(&room_id)?.leave().await?,
        }
        Ok(Value::Null)
    }

    async fn start(&mut self) -> Result<()> {
        let builder = SyncService::builder(self.client.clone()).with_share_pos(true).with_offline_mode();
        let sync = Arc::new(builder.build().await?);
        let rooms = sync.room_list_service().all_rooms().await?;
        self._watchers.spawn(views::watch_sync(sync.state()));
        self._watchers.spawn(views::watch_rooms(rooms, sync.room_list_service().state()));
        sync.start().await;
        self.sync = Some(sync);
        Ok(())
    }

    async fn open(&mut self, room_id: &RoomId) -> Result<()> {
        let room = self.room(room_id)?;
        let sync = self.sync.as_ref().context("not started")?;
        let timeline = Arc::new(self.build_timeline(&room).await?);
        sync.room_list_service().subscribe_to_rooms(&[room_id]).await;
        let mut watchers = JoinSet::new();
        watchers.spawn(views::watch_timeline(timeline.clone()));
        watchers.spawn(views::watch_typing(room));
        self.open = Some(OpenRoom { timeline, _watchers: watchers });
        Ok(())
    }

    /// A timeline may have events twice, for good, that came while the SDK built it. Then it is built anew.
    async fn build_timeline(&self, room: &Room) -> Result<Timeline> {
        loop {
            let updates = self.client.event_cache().subscribe_to_room_generic_updates();
            let timeline = room.timeline().await?;
            if updates.is_empty() {
                return Ok(timeline);
            }
        }
    }

    fn timeline(&self) -> Result<&Timeline> {
        self.open.as_ref().map(|open| &*open.timeline).context("no room is open")
    }

    fn room(&self, room_id: &RoomId) -> Result<Room> {
        self.client.get_room(room_id).with_context(|| format!("{room_id} is not known"))
    }
}
