/** Every option of the command, with its flag, environment variable, default and help text. */

/** `flag` is written `-flag` or `--flag`. The flag overrides the variable, and the variable the default. */
export type OptionRow = {
  readonly flag: string;
  readonly variable: string;
  /** The placeholder of the value in the help. Without it the option is a switch, off by default. */
  readonly value?: string;
  readonly fallback?: string;
  readonly help: string;
};

export const OPTION_TABLE = [
  {
    flag: "server",
    variable: "SYNCV3_SERVER",
    value: "URL",
    help: "Required. The homeserver's base URL (https://matrix.example.org) or its server name (example.org)",
  },
  {
    flag: "config",
    variable: "SYNCV3_CONFIG",
    value: "FILE",
    help: "A YAML file of options, named like their flags: server: https://matrix.example.org. Flags and environment variables override it",
  },
  {
    flag: "db",
    variable: "SYNCV3_DB",
    value: "DSN",
    help: 'PostgreSQL 13 or later: "user=syncv3 dbname=syncv3 sslmode=disable" or postgres://USER:PASSWORD@HOST/DATABASE. Without it, syncv3 starts a PostgreSQL of its own in the data directory',
  },
  {
    flag: "db-pool-mode",
    variable: "SYNCV3_DB_POOL_MODE",
    value: "MODE",
    fallback: "session",
    help: "The pool mode, session or transaction, if -db points to a pooler such as PgBouncer. Transaction mode also needs -db-direct or -bus",
  },
  {
    flag: "db-direct",
    variable: "SYNCV3_DB_DIRECT",
    value: "DSN",
    help: "The same database without the pooler, for migrations and for what must stay on one connection: LISTEN, and the lock that shows that a process is alive",
  },
  {
    flag: "max-db-conn",
    variable: "SYNCV3_MAX_DB_CONN",
    value: "N",
    fallback: "10",
    help: "The most database connections that each process opens for requests and polls, 4 to 100. It opens a few more for wake-ups",
  },
  {
    flag: "bus",
    variable: "SYNCV3_BUS",
    value: "URL",
    help: "Send wake-ups between processes over NATS instead of PostgreSQL's LISTEN and NOTIFY: nats://USER:PASSWORD@HOST:4222, nats://TOKEN@HOST or tls://HOST. Separate several servers with commas",
  },
  {
    flag: "port",
    variable: "SYNCV3_BINDADDR",
    value: "ADDRESS",
    fallback: ":8008",
    help: "The address to listen on: :8008, 127.0.0.1:8008, or the path of a Unix socket",
  },
  {
    flag: "tls-cert",
    variable: "SYNCV3_TLS_CERT",
    value: "FILE",
    help: "Serve TLS with this certificate and its chain (PEM). Needs -tls-key. A renewed certificate is picked up within a minute",
  },
  {
    flag: "tls-key",
    variable: "SYNCV3_TLS_KEY",
    value: "FILE",
    help: "The private key of the certificate (PEM). Needs -tls-cert",
  },
  {
    flag: "data",
    variable: "SYNCV3_DATA",
    value: "DIR",
    help: "The data directory. It holds the database and the secret, unless -db and -secret are given (default: $XDG_DATA_HOME/syncv3 or ~/.local/share/syncv3; on macOS ~/Library/Application Support/syncv3)",
  },
  {
    flag: "secret",
    variable: "SYNCV3_SECRET",
    value: "TEXT",
    help: "The secret that encrypts access tokens in the database and signs sync tokens. Without it, one is generated in the data directory",
  },
  {
    flag: "loglevel",
    variable: "SYNCV3_LOG_LEVEL",
    value: "LEVEL",
    fallback: "info",
    help: "How much to log: silent, fatal, error, warn, info, debug or trace",
  },
  {
    flag: "trusted-proxies",
    variable: "SYNCV3_TRUSTED_PROXIES",
    value: "LIST",
    help: "Addresses and networks (10.0.0.0/8), separated by commas, whose X-Forwarded-For header is trusted",
  },
  {
    flag: "max-sync-bytes",
    variable: "SYNCV3_MAX_SYNC_BYTES",
    value: "SIZE",
    fallback: "256M",
    help: "The largest answer to GET /sync that is read, after decompression: 16M to 511M. If an account's answers are larger, syncv3 asks for less, and finally for one room at a time",
  },
  {
    flag: "checks-per-second",
    variable: "SYNCV3_CHECKS_PER_SECOND",
    value: "N",
    fallback: "5",
    help: "How often the homeserver is asked, by all processes together, what no client waits for, such as whether stored rooms still exist: 1 to 1000 questions a second",
  },
  {
    flag: "paginated-sync",
    variable: "SYNCV3_PAGINATED_SYNC",
    help: "Serve paginated sync (MSC4525), which is not stable yet: its form may change with the proposal",
  },
  {
    flag: "session-idle",
    variable: "SYNCV3_SESSION_IDLE",
    value: "TIME",
    fallback: "7d",
    help: "How long a session of sync v3 lasts without being used: 90s, 30m, 12h, 7d",
  },
  {
    flag: "connection-idle",
    variable: "SYNCV3_CONNECTION_IDLE",
    value: "TIME",
    fallback: "30d",
    help: "How long a connection of sliding sync lasts without being used, and to-device messages wait for it: 90s, 30m, 12h, 30d",
  },
  {
    flag: "feed-size",
    variable: "SYNCV3_FEED_SIZE",
    value: "SIZE",
    fallback: "256M",
    help: "How much the feed of an account (a stream for bots) stores that was not acknowledged: 1M to 64G. Beyond that, the oldest events become gaps",
  },
  {
    flag: "workers",
    variable: "SYNCV3_WORKERS",
    value: "N",
    fallback: "1",
    help: "How many processes serve, 1 to 64: about one per core. Each opens up to 13 database connections, 11 with -bus",
  },
  {
    flag: "role",
    variable: "SYNCV3_ROLE",
    value: "ROLE",
    fallback: "all",
    help: "What this server does if several share a database: api (answer clients), poller (poll the homeserver, answer only /health), or all (both)",
  },
  {
    flag: "async-connections",
    variable: "SYNCV3_ASYNC_CONNECTIONS",
    help: "Answer sliding sync before the new position is flushed to disk. If the database crashes, clients whose latest position is lost start from scratch. Homeserver data is always flushed first",
  },
  {
    flag: "client-port",
    variable: "SYNCV3_CLIENT_PORT",
    value: "ADDRESS",
    fallback: "127.0.0.1:8012",
    help: "The address of the page /client/, in the form of -port. The page shows an account through this server. off: no page. public: on the address of -port, where it shares its origin with files that users upload",
  },
  {
    flag: "prom",
    variable: "SYNCV3_PROM",
    value: "ADDRESS",
    help: "The address that serves GET /metrics to Prometheus, in the form of -port: 127.0.0.1:2112. Keep it private. Without it, nothing is measured",
  },
  {
    flag: "otlp-url",
    variable: "SYNCV3_OTLP_URL",
    value: "URL",
    help: "Send traces to this OpenTelemetry collector (OTLP over HTTP): http://USER:PASSWORD@HOST:4318. Without it, nothing is traced",
  },
  {
    flag: "message-retention",
    variable: "SYNCV3_MESSAGE_RETENTION",
    value: "POLICY",
    fallback: "auto",
    help: "When messages expire. auto: as the homeserver's retention configuration says, and never if it has none. If it has none: apply, as m.room.retention in each room says; or a time such as 90d, the same, and so long in rooms without m.room.retention",
  },
  {
    flag: "public-url",
    variable: "SYNCV3_PUBLIC_URL",
    value: "URL",
    help: "The base URL that clients use for this server. /.well-known/matrix/client and answers to log-ins then name it instead of the homeserver's",
  },
  {
    flag: "pass-admin",
    variable: "SYNCV3_PASS_ADMIN",
    help: "Also pass /_synapse/admin on to the homeserver",
  },
  {
    flag: "prefer-native",
    variable: "SYNCV3_PREFER_NATIVE",
    help: "If the homeserver supports simplified sliding sync itself, pass those requests on to it",
  },
] as const satisfies readonly OptionRow[];

/** The option of `rotate-secret` besides those in DATABASE_FLAGS. */
export const NEW_SECRET = {
  flag: "new-secret",
  variable: "SYNCV3_NEW_SECRET",
  value: "TEXT",
  help: "The secret to use from now on. Without it, if the old secret is the one in the data directory, a new one is generated there",
} as const satisfies OptionRow;

/** The options of commands that need only the database. */
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
