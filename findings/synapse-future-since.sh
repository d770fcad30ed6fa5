#!/usr/bin/env bash
# Synapse 1.163.2 (PyPI: matrix-synapse), Python 3.10 or later.
#
# Behaviour: `GET /sync` with a `since` that the server has not reached yet, as a client holds one after the server's database was restored from a
# backup, is answered 200 at once, with a `next_batch` whose stream position is smaller than that of `since`.
#
# Output seen: since s1000007…: 200, next_batch s7…
#
# Why one would guess otherwise: a since that a server does not know should be an error (400), or wait until it is reached. A client that takes every
# 200 for progress goes on from the smaller place, keeps events that no longer exist, and never learns of those that took their numbers.
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
import hashlib, hmac, json, re, sys, time, urllib.error, urllib.parse, urllib.request

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
ask("POST", "/_matrix/client/v3/createRoom", {}, token)
now = ask("GET", "/_matrix/client/v3/sync?timeout=0", token=token)[1]["next_batch"]
position = int(re.match(r"s(\d+)", now)[1])
future = re.sub(r"^s\d+", f"s{position + 1000000}", now)
status, answer = ask("GET", f"/_matrix/client/v3/sync?timeout=0&since={urllib.parse.quote(future)}", token=token)
told = int(re.match(r"s(\d+)", answer["next_batch"])[1])
print(f"since {future.split('_')[0]}…: {status}, next_batch {answer['next_batch'].split('_')[0]}…")
sys.exit(0 if status == 200 and told < position + 1000000 else "Synapse behaves otherwise now")
PYTHON
python3 try.py "$port"
