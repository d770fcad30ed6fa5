/** Every option of the command: its flag, its environment variable, its default and its help, in one place. */

/** `flag` is written `-flag` or `--flag`; the flag wins over the variable, the variable over the default. */
export type OptionRow = {
  readonly flag: string;
  readonly variable: string;
  /** What stands for the value in the help; without one the option is a switch, off by default. */
  readonly value?: string;
  readonly fallback?: string;
  readonly help: string;
};

export const OPTION_TABLE = [
  {
    flag: "server",
    variable: "SYNCV3_SERVER",
    value: "URL",
    help: "The homeserver: its base URL (https://matrix.example.org) or its server name (example.org). Required",
  },
  {
    flag: "config",
    variable: "SYNCV3_CONFIG",
    value: "FILE",
    help: "A file of options by the names of their flags (YAML): server: https://matrix.example.org. Flags and variables win over it",
  },
  {
    flag: "db",
    variable: "SYNCV3_DB",
    value: "DSN",
    help: 'PostgreSQL 13 or later: "user=syncv3 dbname=syncv3 sslmode=disable" or postgres://USER:PASSWORD@HOST/DATABASE. Without it one is started in the data directory',
  },
  {
    flag: "db-pool-mode",
    variable: "SYNCV3_DB_POOL_MODE",
    value: "MODE",
    fallback: "session",
    help: "Where -db leads to a pooler (PgBouncer, ...): how it pools, session or transaction. With transaction -db-direct or -bus is needed too",
  },
  {
    flag: "db-direct",
    variable: "SYNCV3_DB_DIRECT",
    value: "DSN",
    help: "The same database past the pooler: for what must stay on one connection (LISTEN, the lock of a living process), and migrations",
  },
  {
    flag: "max-db-conn",
    variable: "SYNCV3_MAX_DB_CONN",
    value: "N",
    fallback: "10",
    help: "How many connections to the database each process has for its requests and polls, 4 to 100; a few more are for wake-ups",
  },
  {
    flag: "bus",
    variable: "SYNCV3_BUS",
    value: "URL",
    help: "Have processes wake each other over NATS instead of PostgreSQL's LISTEN and NOTIFY: nats://USER:PASSWORD@HOST:4222, nats://TOKEN@HOST, tls://HOST; several with commas between",
  },
  {
    flag: "port",
    variable: "SYNCV3_BINDADDR",
    value: "ADDRESS",
    fallback: ":8008",
    help: "Where to listen: :8008, 127.0.0.1:8008, or the path of a Unix socket",
  },
  {
    flag: "tls-cert",
    variable: "SYNCV3_TLS_CERT",
    value: "FILE",
    help: "Speak TLS: the certificate with its chain (PEM). With -tls-key. A renewed one is noticed within a minute",
  },
  {
    flag: "tls-key",
    variable: "SYNCV3_TLS_KEY",
    value: "FILE",
    help: "The certificate's key (PEM)",
  },
  {
    flag: "data",
    variable: "SYNCV3_DATA",
    value: "DIR",
    help: "The data directory, for the database and the secret where none are given (default: syncv3 below the user's data home)",
  },
  {
    flag: "secret",
    variable: "SYNCV3_SECRET",
    value: "TEXT",
    help: "What access tokens are encrypted with in the database. Without it one is made and kept in the data directory",
  },
  {
    flag: "loglevel",
    variable: "SYNCV3_LOG_LEVEL",
    value: "LEVEL",
    fallback: "info",
    help: "silent, fatal, error, warn, info, debug or trace",
  },
  {
    flag: "trusted-proxies",
    variable: "SYNCV3_TRUSTED_PROXIES",
    value: "LIST",
    help: "Addresses and networks (10.0.0.0/8), with commas between, whose X-Forwarded-For is believed",
  },
  {
    flag: "max-sync-bytes",
    variable: "SYNCV3_MAX_SYNC_BYTES",
    value: "SIZE",
    fallback: "256M",
    help: "The largest answer to GET /sync that is read, unpacked: 16M to 511M. Of an account with larger ones less is asked for, and its rooms one by one",
  },
  {
    flag: "session-idle",
    variable: "SYNCV3_SESSION_IDLE",
    value: "TIME",
    fallback: "7d",
    help: "How long an unused session is kept: 90s, 30m, 12h, 7d",
  },
  {
    flag: "workers",
    variable: "SYNCV3_WORKERS",
    value: "N",
    fallback: "1",
    help: "How many processes serve, 1 to 64: about as many as there are cores. Each takes up to 13 connections to the database, 11 with -bus",
  },
  {
    flag: "role",
    variable: "SYNCV3_ROLE",
    value: "ROLE",
    fallback: "all",
    help: "What this server does of what several on one database do: api (answer clients), poller (poll the homeserver; answers /health alone), or all",
  },
  {
    flag: "async-connections",
    variable: "SYNCV3_ASYNC_CONNECTIONS",
    help: "Do not wait for the disk as positions of sliding sync are written: after a crash of the database clients whose newest ones are lost begin anew. What the homeserver says is never written so",
  },
  {
    flag: "client-port",
    variable: "SYNCV3_CLIENT_PORT",
    value: "ADDRESS",
    fallback: "127.0.0.1:8012",
    help: "Where to show the page /client/, like -port: to see an account through this server. off: nowhere; public: at the address of -port, where it shares its origin with what users upload",
  },
  {
    flag: "prom",
    variable: "SYNCV3_PROM",
    value: "ADDRESS",
    help: "Where to answer GET /metrics for Prometheus, like -port: 127.0.0.1:2112. Not for the public. Without it nothing is measured",
  },
  {
    flag: "otlp-url",
    variable: "SYNCV3_OTLP_URL",
    value: "URL",
    help: "Where to send traces: an OpenTelemetry collector that takes OTLP over HTTP, http://USER:PASSWORD@HOST:4318. Without it nothing is traced",
  },
  {
    flag: "public-url",
    variable: "SYNCV3_PUBLIC_URL",
    value: "URL",
    help: "The base URL where clients reach this server. With it, /.well-known/matrix/client and the answers to log-ins name it in place of the homeserver's",
  },
  {
    flag: "pass-admin",
    variable: "SYNCV3_PASS_ADMIN",
    help: "Pass /_synapse/admin on too",
  },
  {
    flag: "prefer-native",
    variable: "SYNCV3_PREFER_NATIVE",
    help: "Leave simplified sliding sync to a homeserver that has it itself",
  },
] as const satisfies readonly OptionRow[];

/** What `rotate-secret` takes beside those in DATABASE_FLAGS. */
export const NEW_SECRET = {
  flag: "new-secret",
  variable: "SYNCV3_NEW_SECRET",
  value: "TEXT",
  help: "The secret from now on. Without it, where the old one is kept in the data directory, one is made and kept there",
} as const satisfies OptionRow;

/** Options of commands that need the database and nothing else. */
export const DATABASE_FLAGS: readonly string[] = [
  "config",
  "db",
  "db-pool-mode",
  "db-direct",
  "data",
  "secret",
  "bus",
  "loglevel",
] satisfies OptionFlag[];

export type OptionFlag = (typeof OPTION_TABLE)[number]["flag"] | typeof NEW_SECRET.flag;
