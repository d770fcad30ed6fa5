#!/usr/bin/env bash
# Synapse 1.163.2 (PyPI: matrix-synapse), Python 3.10 or later.
#
# Behaviour: after Synapse has started anew, somebody who begins to type is not in the v2 answers to a `since` from before, until as many changes
# of typing have happened as there had been before. The same user's sync without `since` has it at once.
#
# Output seen: typing before the restart ['@alice:hs.test']; after it, since from before: nothing; without since: ['@alice:hs.test']
#
# Why one would guess otherwise: all else that a `since` stands for lies in the database and goes on. Typing is numbered in memory, from 1 again,
# and a number that lies in the future is taken for one that has been reached. Clients that sync all the time, as all do, miss it.
set -eu

folder=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -z "$server" ] || wait "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check matrix-synapse==1.163.2

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > homeserver.yaml <<YAML
server_name: hs.test
pid_file: $folder/pid
signing_key_path: $folder/key
report_stats: false
registration_shared_secret: finding
macaroon_secret_key: finding
trusted_key_servers: []
media_store_path: $folder/media
listeners: [{port: $port, bind_addresses: ["127.0.0.1"], type: http, resources: [{names: [client]}]}]
database: {name: sqlite3, args: {database: $folder/db}}
YAML
env/bin/python -m synapse.app.homeserver --config-path homeserver.yaml --generate-keys > log 2>&1
start() {
  env/bin/python -m synapse.app.homeserver --config-path homeserver.yaml >> log 2>&1 &
  server=$!
}
start

cat > try.py <<'PYTHON'
import hashlib, hmac, json, sys, time, urllib.error, urllib.parse, urllib.request

base = f"http://127.0.0.1:{sys.argv[1]}"


def ask(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(base + path, data, headers, method=method), timeout=60) as answer:
        return answer.status, json.load(answer)


def up():
    for attempt in range(600):
        try:
            return ask("GET", "/_synapse/admin/v1/register")[1]["nonce"]
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    sys.exit("Synapse did not start")


def typing(answer):
    events = answer.get("rooms", {}).get("join", {}).get(place["room"], {}).get("ephemeral", {}).get("events", [])
    return [event["content"]["user_ids"] for event in events if event["type"] == "m.typing"] or "nothing"


def sync(since=""):
    return ask("GET", "/_matrix/client/v3/sync?timeout=0" + (f"&since={since}" if since else ""), token=place["token"])[1]


def begin_typing(on):
    path = f"/_matrix/client/v3/rooms/{urllib.parse.quote(place['room'])}/typing/{urllib.parse.quote('@alice:hs.test')}"
    ask("PUT", path, {"typing": on, "timeout": 60000}, place["token"])


nonce = up()
if sys.argv[2] == "before":
    mac = hmac.new(b"finding", b"\0".join([nonce.encode(), b"alice", b"password", b"notadmin"]), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": "alice", "password": "password", "admin": False, "mac": mac}
    place = {"token": ask("POST", "/_synapse/admin/v1/register", body)[1]["access_token"]}
    place["room"] = ask("POST", "/_matrix/client/v3/createRoom", {}, place["token"])[1]["room_id"]
    for on in (True, False, True):
        begin_typing(on)
    answer = sync()
    seen = typing(answer)
    print(f"typing before the restart {seen}", end="; ")
    place["since"] = answer["next_batch"]
    json.dump(place, open("place.json", "w"))
    sys.exit(0 if seen == [["@alice:hs.test"]] else "Synapse behaves otherwise now")
place = json.load(open("place.json"))
begin_typing(True)
missed, there = typing(sync(place["since"])), typing(sync())
print(f"after it, since from before: {missed}; without since: {there}")
sys.exit(0 if (missed, there) == ("nothing", [["@alice:hs.test"]]) else "Synapse behaves otherwise now")
PYTHON
python3 try.py "$port" before
kill "$server"
wait "$server" || true
start
python3 try.py "$port" after
