-- Times are microseconds since 1970 in UTC.

CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    camera TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    -- When it began, when it ended (NULL while it goes on), and the time of its last step.
    start_us BIGINT NOT NULL,
    end_us BIGINT,
    step_us BIGINT NOT NULL,
    -- Its last step as JSON.
    event TEXT NOT NULL,
    -- Directory of its files: the UTC date of its start. Sizes are NULL where there is no file.
    day TEXT NOT NULL,
    picture_bytes BIGINT,
    drawn_bytes BIGINT,
    clip_bytes BIGINT,
    clip_extension TEXT,
    clip_start_us BIGINT,
    clip_seconds DOUBLE PRECISION,
    -- 1: no retention removes it.
    kept INTEGER NOT NULL DEFAULT 0,
    -- 1: somebody removed it while it went on; the row goes when it has ended.
    removed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX events_by_start ON events (start_us, id);
CREATE INDEX events_by_camera ON events (camera, start_us, id);
CREATE INDEX events_by_rule ON events (rule, start_us, id);
CREATE INDEX events_by_end ON events (severity, end_us);
CREATE INDEX events_by_day ON events (day);
CREATE INDEX events_open ON events (start_us, id) WHERE end_us IS NULL;

-- Lower-case words of an event's query and phrases.
CREATE TABLE words (
    word TEXT NOT NULL,
    event INTEGER NOT NULL REFERENCES events (number) ON DELETE CASCADE,
    PRIMARY KEY (word, event)
);
CREATE INDEX words_of_event ON words (event);

-- All steps of events in the order in which they came. A step outlives its event while a letter waits.
CREATE TABLE steps (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    time_us BIGINT NOT NULL,
    step TEXT NOT NULL,
    UNIQUE (event_id, kind, time_us)
);

-- Steps on their way to a receiver: mqtt, webhook:ID, email.
CREATE TABLE letters (
    receiver TEXT NOT NULL,
    sequence INTEGER NOT NULL REFERENCES steps (sequence),
    attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (receiver, sequence)
);
CREATE INDEX letters_of_step ON letters (sequence);

CREATE TABLE configs (
    revision BIGINT PRIMARY KEY,
    time_us BIGINT NOT NULL,
    origin TEXT NOT NULL,
    file_sha256 TEXT NOT NULL,
    document TEXT NOT NULL
);
