/** The configuration of a Synapse for tests: on loopback, alone in the world, without limits. */

/** JSON is YAML too. */
export type SynapseFiles = { readonly "homeserver.yaml": string; readonly "appservice.yaml": string; readonly "log.yaml": string };

/** With it a test makes an administrator. */
export const REGISTRATION_SECRET = "a secret of the tests";

const BOUNDLESS = { per_second: 100_000, burst_count: 1_000_000 };

/** Files for `directory`, where everything that Synapse writes goes as well. `more`: further members of its configuration. */
export function synapseFiles(directory: string, serverName: string, port: number, asToken: string, more: object = {}): SynapseFiles {
  const homeserver = {
    server_name: serverName,
    public_baseurl: `http://127.0.0.1:${port}/`,
    pid_file: `${directory}/homeserver.pid`,
    report_stats: false,
    soft_file_limit: 0,
    listeners: [{ port, type: "http", tls: false, bind_addresses: ["127.0.0.1"], resources: [{ names: ["client"], compress: false }] }],
    database: { name: "sqlite3", args: { database: `${directory}/homeserver.db` } },
    log_config: `${directory}/log.yaml`,
    media_store_path: `${directory}/media`,
    signing_key_path: `${directory}/signing.key`,
    trusted_key_servers: [],
    suppress_key_server_warning: true,
    federation_domain_whitelist: [],
    registration_shared_secret: REGISTRATION_SECRET,
    enable_registration: true,
    enable_registration_without_verification: true,
    macaroon_secret_key: "a secret of the tests",
    form_secret: "a secret of the tests",
    bcrypt_rounds: 4,
    app_service_config_files: [`${directory}/appservice.yaml`],
    presence: { enabled: true },
    url_preview_enabled: false,
    // While they run, in a young database, sliding sync goes another way than in an old one.
    background_updates: { sleep_enabled: false },
    // An initial sync is answered anew each time.
    caches: { sync_response_cache_duration: "0s" },
    ...Object.fromEntries(
      [
        "message",
        "registration",
        "registration_token_validity",
        "admin_redaction",
        "3pid_validation",
        "third_party_invite",
        "joins_per_room",
        "room_creation",
        "user_directory",
        "media_create",
        "reports",
        "key_requests",
        "delayed_event_mgmt",
      ].map((name) => [`rc_${name}`, BOUNDLESS]),
    ),
    rc_login: { address: BOUNDLESS, account: BOUNDLESS, failed_attempts: BOUNDLESS },
    rc_joins: { local: BOUNDLESS, remote: BOUNDLESS },
    rc_invites: { per_room: BOUNDLESS, per_user: BOUNDLESS, per_issuer: BOUNDLESS },
    rc_presence: { per_user: BOUNDLESS },
    ...more,
  };
  const appservice = {
    id: "puppets",
    url: null,
    as_token: asToken,
    hs_token: "unused",
    sender_localpart: "puppeteer",
    rate_limited: false,
    namespaces: { users: [{ exclusive: false, regex: `@puppet.*:${serverName.replaceAll(".", "\\.")}` }], aliases: [], rooms: [] },
  };
  const log = {
    version: 1,
    formatters: { line: { format: "%(asctime)s %(levelname)s %(name)s %(message)s" } },
    handlers: { file: { class: "logging.FileHandler", formatter: "line", filename: `${directory}/homeserver.log` } },
    root: { level: "WARNING", handlers: ["file"] },
    disable_existing_loggers: false,
  };
  return { "homeserver.yaml": JSON.stringify(homeserver), "appservice.yaml": JSON.stringify(appservice), "log.yaml": JSON.stringify(log) };
}
