"""A client on matrix-nio, driven over a pipe as the one in ../rust is (see ../rust/src/protocol.rs), with the same commands and events.

It syncs by v2, as bots do. What it knows is written after each answer to a sync. It ends when its standard input does.
"""

import asyncio
import json
import os
import sys

from nio import (
    AsyncClient,
    AsyncClientConfig,
    EnableEncryptionBuilder,
    MegolmEvent,
    RoomMessageText,
    RoomPreset,
    SyncResponse,
)
from nio.responses import ErrorResponse

SYNC_MS = 30_000


class Refused(Exception):
    """The server refused a request."""


def good(response):
    if isinstance(response, ErrorResponse):
        raise Refused(str(response))
    return response


class Session:
    def __init__(self, homeserver, store):
        os.makedirs(store, exist_ok=True)
        self.file = os.path.join(store, "session.json")
        self.store = store
        self.homeserver = homeserver
        self.timelines = {}
        self.tokens = {}
        self.open_room = None
        self.syncing = None

    def make_client(self, user, device_id):
        config = AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
        self.client = AsyncClient(self.homeserver, user, device_id=device_id, store_path=self.store, config=config)
        self.client.add_event_callback(self.on_message, (RoomMessageText, MegolmEvent))
        self.client.add_response_callback(self.on_sync, SyncResponse)

    async def login(self, user, password, device_id):
        self.make_client(user, device_id)
        login = good(await self.client.login(password))
        with open(self.file, "w", encoding="utf-8") as file:
            json.dump({"user_id": login.user_id, "device_id": login.device_id, "access_token": login.access_token}, file)
        return self.describe()

    async def restore(self):
        with open(self.file, encoding="utf-8") as file:
            stored = json.load(file)
        self.make_client(stored["user_id"], stored["device_id"])
        self.client.restore_login(**stored)
        return self.describe()

    def describe(self):
        return {"user_id": self.client.user_id, "device_id": self.client.device_id, "homeserver": self.homeserver}

    async def on_message(self, room, event):
        timeline = self.timelines.setdefault(room.room_id, [])
        if all(known.event_id != event.event_id for known in timeline):
            timeline.append(event)

    async def on_sync(self, response):
        for room_id, room in response.rooms.join.items():
            # The first one stands before everything that was received.
            self.tokens.setdefault(room_id, room.timeline.prev_batch)
        self.show()

    def show(self):
        joined = [self.describe_room(room, "joined") for room in self.client.rooms.values()]
        invited = [self.describe_room(room, "invited") for room in self.client.invited_rooms.values()]
        write({"event": "rooms", "rooms": joined + invited})
        if self.open_room is not None:
            events = [self.describe_event(self.open_room, event) for event in self.timelines.get(self.open_room, [])]
            write({"event": "timeline", "room_id": self.open_room, "events": events})

    def describe_room(self, room, state):
        return {
            "room_id": room.room_id,
            "state": state,
            "name": room.display_name,
            "is_encrypted": room.encrypted,
            "notification_count": room.unread_notifications or 0,
            "highlight_count": room.unread_highlights or 0,
        }

    def describe_event(self, room_id, event):
        shown = event
        if isinstance(event, MegolmEvent):
            try:
                shown = self.client.decrypt_event(event)
            except Exception:  # The key may come later.
                shown = None
        receipts = self.client.rooms[room_id].read_receipts if room_id in self.client.rooms else {}
        threaded = self.client.rooms[room_id].threaded_read_receipts if room_id in self.client.rooms else {}
        readers = [user for user, receipt in receipts.items() if receipt.event_id == event.event_id]
        readers += [user for user, of in threaded.items() if any(receipt.event_id == event.event_id for receipt in of.values())]
        return {
            "event_id": event.event_id,
            "sender": event.sender,
            "local_echo": False,
            "body": getattr(shown, "body", None),
            "encrypted": isinstance(event, MegolmEvent) or getattr(event, "decrypted", False),
            "undecryptable": shown is None,
            "read_by": readers,
        }

    async def start(self):
        self.syncing = asyncio.create_task(self.client.sync_forever(timeout=SYNC_MS, full_state=True))

    async def older(self, count):
        token = self.tokens.get(self.open_room)
        if token is None:
            return {"reached_start": True}
        page = good(await self.client.room_messages(self.open_room, start=token, limit=count))
        timeline = self.timelines.setdefault(self.open_room, [])
        known = {event.event_id for event in timeline}
        older = [event for event in page.chunk if isinstance(event, (RoomMessageText, MegolmEvent)) and event.event_id not in known]
        timeline[:0] = reversed(older)
        self.tokens[self.open_room] = page.end
        self.show()
        return {"reached_start": not page.end}

    async def run(self, command, room_id=None, user_id=None, body=None, count=20):
        if command == "start":
            await self.start()
        elif command == "open":
            self.open_room = room_id
            self.show()
        elif command == "older":
            return await self.older(count)
        elif command == "send":
            content = {"msgtype": "m.text", "body": body}
            good(await self.client.room_send(self.open_room, "m.room.message", content, ignore_unverified_devices=True))
        elif command == "mark_read":
            good(await self.client.update_receipt_marker(self.open_room, self.timelines[self.open_room][-1].event_id))
        elif command == "create_dm":
            state = [EnableEncryptionBuilder().as_dict()]
            preset = RoomPreset.trusted_private_chat
            made = good(await self.client.room_create(is_direct=True, preset=preset, invite=[user_id], initial_state=state))
            return {"room_id": made.room_id}
        elif command == "join":
            good(await self.client.join(room_id))
        else:
            raise Refused(f"unknown command {command}")
        return None

    async def stop(self):
        if self.syncing is not None:
            self.syncing.cancel()
        await self.client.close()


def write(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def main():
    session = None
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        identifier, command = request.pop("id"), request.pop("do")
        try:
            if command in ("login", "restore"):
                session = Session(request["homeserver"], request["store"])
                if command == "login":
                    ok = await session.login(request["user"], request["password"], request["device_id"])
                else:
                    ok = await session.restore()
            else:
                ok = await session.run(command, **request)
            write({"id": identifier, "ok": ok})
        except Exception as error:
            write({"id": identifier, "error": f"{type(error).__name__}: {error}"})
    if session is not None:
        await session.stop()


asyncio.run(main())
