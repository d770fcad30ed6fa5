#!/usr/bin/env bash
# Synapse 1.163.2 (PyPI: matrix-synapse), Python 3.10 or later.
#
# Behaviour: once a user was shown a thread without having taken part in it, `current_user_participated` stays false after the user has replied in it,
# for as long as the entry is in Synapse's cache.
#
# Output seen: before the reply: False; after it: False, with a count of 2
#
# Why one would guess otherwise: the count and the latest event of the same bundle are right at once. `get_thread_participated` is cached by event and
# user, and is invalidated by the event alone, which matches no key of a cache that is not a tree.
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
        ask("GET", "/_synapse/admin/v1/register")
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.1)
else:
    sys.exit("Synapse did not start")

def register(name):
    nonce = ask("GET", "/_synapse/admin/v1/register")[1]["nonce"]
    mac = hmac.new(b"finding", b"\0".join([nonce.encode(), name, b"password", b"notadmin"]), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name.decode(), "password": "password", "admin": False, "mac": mac}
    return ask("POST", "/_synapse/admin/v1/register", body)[1]["access_token"]


alice, bob = register(b"alice"), register(b"bob")
room = ask("POST", "/_matrix/client/v3/createRoom", {"preset": "public_chat"}, alice)[1]["room_id"]
path = f"/_matrix/client/v3/rooms/{urllib.parse.quote(room)}"
ask("POST", f"/_matrix/client/v3/join/{urllib.parse.quote(room)}", {}, bob)


def send(token, number, **more):
    return ask("PUT", f"{path}/send/m.room.message/{number}", {"msgtype": "m.text", "body": "hello", **more}, token)[1]["event_id"]


root = send(alice, 1)
in_thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
send(alice, 2, **in_thread)


def thread():
    return ask("GET", f"{path}/event/{urllib.parse.quote(root)}", token=bob)[1]["unsigned"]["m.relations"]["m.thread"]


before = thread()["current_user_participated"]
send(bob, 3, **in_thread)
after = thread()
print(f"before the reply: {before}; after it: {after['current_user_participated']}, with a count of {after['count']}")
sys.exit(0 if (before, after["current_user_participated"], after["count"]) == (False, False, 2) else "Synapse behaves otherwise now")
PYTHON
python3 try.py "$port"
