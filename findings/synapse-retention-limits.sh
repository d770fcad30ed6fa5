#!/usr/bin/env bash
# Synapse 1.163.2 (PyPI: matrix-synapse), Python 3.10 or later.
#
# Behaviour: with `retention: enabled: true`, a room's `m.room.retention` of one second hides messages from /messages and /sync after a second, although
# the configuration has `allowed_lifetime_min: 1d`. And `GET …/org.matrix.msc1763/retention/configuration`, by which clients learn the policy,
# is 404 all the same: it needs `experimental_features: msc1763_enabled`, which retention itself does not.
#
# Output seen: configuration 404; messages right away 1, two seconds later 0
#
# Why one would guess otherwise: the configuration's own comment says that lifetimes outside of the allowed ones are bounded by them. They are, but
# only for the jobs that delete; what is shown goes by the room's own value. And an endpoint that is not there suggests that nothing expires.
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
retention: {enabled: true, allowed_lifetime_min: 1d, allowed_lifetime_max: 1y}
YAML
env/bin/python -m synapse.app.homeserver --config-path homeserver.yaml --generate-keys > log 2>&1
env/bin/python -m synapse.app.homeserver --config-path homeserver.yaml >> log 2>&1 &
server=$!

cat > try.py <<'PYTHON'
import hashlib, hmac, json, sys, time, urllib.error, urllib.parse, urllib.request

base = f"http://127.0.0.1:{sys.argv[1]}"


def ask(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(base + path, data, headers, method=method), timeout=60) as answer:
        return answer.status, json.load(answer)


for attempt in range(600):
    try:
        nonce = ask("GET", "/_synapse/admin/v1/register")[1]["nonce"]
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.1)
else:
    sys.exit("Synapse did not start")
mac = hmac.new(b"finding", b"\0".join([nonce.encode(), b"alice", b"password", b"notadmin"]), hashlib.sha1).hexdigest()
body = {"nonce": nonce, "username": "alice", "password": "password", "admin": False, "mac": mac}
token = ask("POST", "/_synapse/admin/v1/register", body)[1]["access_token"]
try:
    configuration = ask("GET", "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration", token=token)[0]
except urllib.error.HTTPError as error:
    configuration = error.code
retention = {"type": "m.room.retention", "state_key": "", "content": {"max_lifetime": 1000}}
room = ask("POST", "/_matrix/client/v3/createRoom", {"initial_state": [retention]}, token)[1]["room_id"]
path = f"/_matrix/client/v3/rooms/{urllib.parse.quote(room)}"
sent = ask("PUT", f"{path}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"}, token)[1]["event_id"]


def shown():
    chunk = ask("GET", f"{path}/messages?dir=b&limit=50", token=token)[1]["chunk"]
    return sum(event["event_id"] == sent for event in chunk)


first = shown()
time.sleep(2)
later = shown()
print(f"configuration {configuration}; messages right away {first}, two seconds later {later}")
sys.exit(0 if (configuration, first, later) == (404, 1, 0) else "Synapse behaves otherwise now")
PYTHON
python3 try.py "$port"
