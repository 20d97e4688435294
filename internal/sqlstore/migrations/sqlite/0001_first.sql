-- +goose Up
-- Times are microseconds since 1970 UTC. Ids that the wire shows are 16-byte blobs.

-- One row per fact about the installation: tenant id, default domain, …
CREATE TABLE setting (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE client (
  app_id  BLOB PRIMARY KEY,
  content TEXT NOT NULL -- JSON: name, service principal, roles, hashed secrets
) WITHOUT ROWID;

CREATE TABLE signing_key (
  key_id  TEXT PRIMARY KEY,
  private BLOB NOT NULL, -- PKCS #8
  created INTEGER NOT NULL,
  retired INTEGER NOT NULL -- 0 while it may sign
) WITHOUT ROWID;

-- What accepting an upload reads and writes of a job. Apart from progress, so that neither waits for the other.
CREATE TABLE job (
  pk       INTEGER PRIMARY KEY,
  id       TEXT NOT NULL UNIQUE COLLATE NOCASE,
  state    TEXT NOT NULL,
  lanes    INTEGER NOT NULL,           -- over so many its people are spread
  revision INTEGER NOT NULL DEFAULT 1, -- raised by each change of its content
  next     INTEGER NOT NULL DEFAULT 1, -- the next upload's number
  accepted INTEGER NOT NULL DEFAULT 0  -- records of all uploads to date
);

-- How far a job has come, and what is counted of it.
CREATE TABLE progress (
  job      INTEGER PRIMARY KEY,
  position INTEGER NOT NULL DEFAULT 0, -- all lanes have committed up to this upload number
  taken    INTEGER NOT NULL DEFAULT 0, -- accepted records that have an outcome, or were purged
  cycle    INTEGER NOT NULL DEFAULT 0, -- number of the latest cycle
  linked   INTEGER NOT NULL DEFAULT 0, -- people with a link
  enabled  INTEGER NOT NULL DEFAULT 0, -- of them with an enabled account
  held     INTEGER NOT NULL DEFAULT 0, -- pending records by kind
  staged   INTEGER NOT NULL DEFAULT 0, -- of those held
  retrying INTEGER NOT NULL DEFAULT 0,
  condition TEXT NOT NULL DEFAULT '{}' -- JSON: last executions, brakes, quarantine
);

-- What a job is. Apart, because it is large, and each accepted upload writes the job's row.
CREATE TABLE job_content (
  job     INTEGER PRIMARY KEY,
  content TEXT NOT NULL -- JSON: app, schema, settings
);

-- Provisioning apps: service principals that jobs belong to.
CREATE TABLE app (
  pk      INTEGER PRIMARY KEY,
  id      BLOB NOT NULL UNIQUE, -- the service principal
  content TEXT NOT NULL         -- JSON: application, name, synchronization secrets
);

-- An upload: its place in the queue, then what became of it.
CREATE TABLE upload (
  job        INTEGER NOT NULL,
  number     INTEGER NOT NULL,
  id         BLOB NOT NULL UNIQUE,
  request_id TEXT,              -- the client-request-id, if the client sent one
  body_hash  BLOB NOT NULL,
  received   INTEGER NOT NULL,
  operations INTEGER NOT NULL,
  done       INTEGER,
  closed     INTEGER,           -- when its cycle was
  settled    INTEGER,
  pending    INTEGER NOT NULL DEFAULT 0, -- records that are held or retried
  counts     TEXT,              -- JSON: end -> records
  purge      INTEGER,           -- that has thrown it out of the queue
  PRIMARY KEY (job, number)
) WITHOUT ROWID;

-- The operations of uploads that no batch has taken up: of those that wait and, for the receipts, of those that were purged.
-- Apart, because they are large: a purge writes the rows of all uploads that wait.
CREATE TABLE upload_body (
  job    INTEGER NOT NULL,
  number INTEGER NOT NULL,
  body   BLOB NOT NULL, -- see codec.go
  PRIMARY KEY (job, number)
) WITHOUT ROWID;
CREATE INDEX upload_request ON upload (job, request_id) WHERE request_id IS NOT NULL;

-- Up to which number uploads had been received by the end of a day (since 1970 UTC), of those that retention has dropped.
CREATE TABLE upload_mark (
  job    INTEGER NOT NULL,
  day    INTEGER NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (job, day)
) WITHOUT ROWID;

CREATE TABLE cycle (
  job    INTEGER NOT NULL,
  number INTEGER NOT NULL,
  last   INTEGER NOT NULL, -- the highest upload in it
  began  INTEGER NOT NULL,
  ended  INTEGER,
  PRIMARY KEY (job, number)
) WITHOUT ROWID;

-- The latest re-evaluation of a job.
CREATE TABLE reevaluation (
  job       INTEGER PRIMARY KEY,
  number    INTEGER NOT NULL,
  cursor    INTEGER NOT NULL, -- the last person it has come to
  began     INTEGER NOT NULL,
  ended     INTEGER,
  evaluated INTEGER NOT NULL,
  ends      TEXT NOT NULL     -- JSON: end -> people
);

-- What happened to records, counted to date and per cycle (cycle 0: to date).
CREATE TABLE tally (
  job     INTEGER NOT NULL,
  cycle   INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  records INTEGER NOT NULL,
  PRIMARY KEY (job, cycle, outcome)
) WITHOUT ROWID;

-- Rows by texts that arrive in no order; see keys.go. Several texts may share a hash, and a text several rows.
CREATE TABLE key (
  hash INTEGER NOT NULL,
  row  INTEGER NOT NULL,
  PRIMARY KEY (hash, row)
) WITHOUT ROWID;

-- Changes of key that have not all been moved there, by the transaction that made them.
CREATE TABLE key_stage (
  number  INTEGER PRIMARY KEY,
  changes BLOB NOT NULL
);

-- What a job knows of one anchor: link and kept record. Found by the key of its anchor, which is unique in a job.
CREATE TABLE person (
  pk      INTEGER PRIMARY KEY,
  job     INTEGER NOT NULL,
  anchor  TEXT NOT NULL,
  object  BLOB,             -- the link
  version INTEGER NOT NULL, -- of the object when it was last as desired
  hash    BLOB,             -- of the record that made it so
  program INTEGER NOT NULL,
  upload  INTEGER NOT NULL,
  place   INTEGER NOT NULL,
  name    TEXT NOT NULL,
  enabled INTEGER NOT NULL, -- the object, as the job last saw it
  pending INTEGER NOT NULL, -- kind of the pending record; 0: none
  revision INTEGER NOT NULL, -- raised whenever the row is written
  kept    BLOB NOT NULL     -- see kept.go
);
CREATE INDEX person_job ON person (job);
CREATE UNIQUE INDEX person_object ON person (job, object) WHERE object IS NOT NULL;

-- Latest records of people that have an outcome and no end: held or retried.
CREATE TABLE pending (
  person  INTEGER PRIMARY KEY,
  job     INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  verdict INTEGER NOT NULL,
  staged  INTEGER NOT NULL,
  due     INTEGER NOT NULL, -- of the next attempt, or when it was held
  content TEXT NOT NULL,    -- JSON: the rest of it
  decided_by TEXT NOT NULL, -- whose verdict it is
  record  BLOB              -- packed as kept records are; null if it is the person's
);
CREATE INDEX pending_job ON pending (job, kind, person);
CREATE INDEX pending_unjudged ON pending (job, due, person) WHERE kind = 1 AND verdict = 0 AND staged = 0;
CREATE INDEX pending_approved ON pending (job, person) WHERE verdict = 1;
CREATE INDEX pending_refused ON pending (job, person) WHERE verdict > 1;
CREATE INDEX pending_due ON pending (job, due, person) WHERE kind = 2 AND verdict = 0;

-- What restarts have thrown out of queues.
CREATE TABLE purge (
  pk      INTEGER PRIMARY KEY,
  job     INTEGER NOT NULL,
  content TEXT NOT NULL -- JSON
);

-- Who changed what of a job.
CREATE TABLE audit (
  pk       INTEGER PRIMARY KEY,
  at       INTEGER NOT NULL,
  activity TEXT NOT NULL,
  content  TEXT NOT NULL -- JSON
);
CREATE INDEX audit_time ON audit (at);

-- News of jobs for people, and how sending it went.
CREATE TABLE notice (
  pk      INTEGER PRIMARY KEY,
  job     INTEGER NOT NULL,
  next    INTEGER,      -- the next attempt to send it; null: none
  content TEXT NOT NULL -- JSON
);
CREATE INDEX notice_job ON notice (job, pk);
CREATE INDEX notice_next ON notice (next) WHERE next IS NOT NULL;

-- References that wait for the end of the cycle (ready) or for their target to be linked, of which an entry has been
-- written (reported) or not. Found by the keys of whose reference it is and of whom it names.
CREATE TABLE reference (
  pk        INTEGER PRIMARY KEY,
  job       INTEGER NOT NULL,
  person    INTEGER NOT NULL, -- whose it is
  anchor    TEXT NOT NULL,
  attribute TEXT NOT NULL,
  target    TEXT NOT NULL,
  upload    INTEGER NOT NULL,
  place     INTEGER NOT NULL,
  bulk_id   TEXT NOT NULL,
  reported  INTEGER NOT NULL DEFAULT 0,
  ready     INTEGER NOT NULL,
  due       INTEGER NOT NULL DEFAULT 0, -- when it is tried again that was refused for now
  attempts  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX reference_deferred ON reference (job, due) WHERE due > 0;
CREATE INDEX reference_ready ON reference (job, upload, place) WHERE ready = 1;
CREATE INDEX reference_unreported ON reference (job, upload, place) WHERE ready = 0 AND reported = 0;
CREATE INDEX reference_reported ON reference (job) WHERE ready = 0 AND reported = 1;

-- Rows of references that are to become ready, in lists; see woken.go.
CREATE TABLE woken (
  job    INTEGER NOT NULL,
  number INTEGER NOT NULL,
  sorted INTEGER NOT NULL,
  rows   BLOB NOT NULL,
  PRIMARY KEY (job, number)
) WITHOUT ROWID;

-- Log entries in compressed blocks; entry i of a block has the place first + i. What blocks are found by is apart from
-- what they hold.
CREATE TABLE log_block (
  first   INTEGER PRIMARY KEY,
  last    INTEGER NOT NULL,
  job     INTEGER NOT NULL,
  cycle   INTEGER NOT NULL,
  began   INTEGER NOT NULL, -- times of its first and last entry
  ended   INTEGER NOT NULL,
  lowest  INTEGER NOT NULL, -- numbers of its first and last upload
  highest INTEGER NOT NULL,
  success INTEGER NOT NULL,
  failure INTEGER NOT NULL,
  skipped INTEGER NOT NULL,
  warning INTEGER NOT NULL,
  anchors BLOB              -- sorted 32-bit hashes of its anchors; null once they are in a run, see logindex.go
);
CREATE TABLE log_entries (
  first  INTEGER PRIMARY KEY,
  packed BLOB NOT NULL      -- see entries.go
);
CREATE TABLE log_run (
  run    INTEGER PRIMARY KEY,
  first  INTEGER NOT NULL,
  last   INTEGER NOT NULL,
  firsts BLOB NOT NULL      -- where its blocks begin, 64 bits each
);
CREATE TABLE log_run_hash (
  place  INTEGER PRIMARY KEY, -- run << 8 | first byte of the hashes
  hashes BLOB NOT NULL        -- sorted: 32 bits of hash, 16 bits of the block's place in the run
);
CREATE INDEX log_block_unmerged ON log_block (first) WHERE anchors IS NOT NULL;
CREATE INDEX log_block_time ON log_block (began);
CREATE INDEX log_block_job ON log_block (job, first);
CREATE INDEX log_block_cycle ON log_block (job, cycle, first);
CREATE INDEX log_block_upload ON log_block (job, highest, lowest);
CREATE INDEX log_block_success ON log_block (job, first) WHERE success > 0;
CREATE INDEX log_block_failure ON log_block (job, first) WHERE failure > 0;
CREATE INDEX log_block_skipped ON log_block (job, first) WHERE skipped > 0;
CREATE INDEX log_block_warning ON log_block (job, first) WHERE warning > 0;

CREATE TABLE unread_path (
  job     INTEGER NOT NULL,
  path    TEXT NOT NULL,
  records INTEGER NOT NULL,
  PRIMARY KEY (job, path)
) WITHOUT ROWID;

-- The built-in cloud directory. What users are found by is filed in key by the directory room.
CREATE TABLE users (
  pk      INTEGER PRIMARY KEY,
  id      BLOB NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  created INTEGER NOT NULL,
  deleted INTEGER,      -- when it went to deleted items, where it is filed nowhere; null while it is live
  content BLOB NOT NULL -- attributes, see the directory room
);
CREATE INDEX user_deleted ON users (deleted) WHERE deleted IS NOT NULL;
CREATE INDEX user_deleted_order ON users (pk) WHERE deleted IS NOT NULL;

-- Who may sign in, beside what the directory knows of its users.
CREATE TABLE account (
  id      BLOB PRIMARY KEY,
  upn     TEXT UNIQUE,      -- in lower case, of an account that is in no directory; null for a directory's user
  created INTEGER NOT NULL,
  content TEXT NOT NULL     -- JSON: name, hashed password, roles
) WITHOUT ROWID;

-- What was handed out to be brought back: codes, refresh tokens, sessions, one-time links.
CREATE TABLE ticket (
  hash    BLOB PRIMARY KEY, -- SHA-256 of what its holder has
  kind    TEXT NOT NULL,
  family  BLOB NOT NULL,    -- those of one sign-in
  person  BLOB NOT NULL,
  issued  INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  used    INTEGER NOT NULL, -- 0: not yet
  content BLOB NOT NULL     -- JSON
) WITHOUT ROWID;
CREATE INDEX ticket_expires ON ticket (expires);
CREATE INDEX ticket_family ON ticket (family);
CREATE INDEX ticket_person ON ticket (person);

-- Failed tries to sign in, by what they are counted for.
CREATE TABLE failure (
  origin   BLOB PRIMARY KEY, -- SHA-256 of it: somebody may have typed a password where the name belongs
  failures INTEGER NOT NULL,
  since    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX failure_since ON failure (since);

-- What has been used of limits that all processes on the database share.
CREATE TABLE allowance (
  name    TEXT PRIMARY KEY,
  state   BLOB NOT NULL,    -- see the room that has the limit
  expires INTEGER NOT NULL  -- from then on it means nothing
) WITHOUT ROWID;
CREATE INDEX allowance_expires ON allowance (expires);

-- What retention has dropped of each kind, and which process is at it.
CREATE TABLE retention (
  kind    TEXT PRIMARY KEY,
  dropped INTEGER NOT NULL DEFAULT 0, -- to date; of the log entries, of all else rows
  through INTEGER,                    -- the latest pass that came to its end has dropped what was older than this
  ran     INTEGER,                    -- when that was
  holder  TEXT NOT NULL DEFAULT '',   -- the process that is at it, until then at most
  until   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
