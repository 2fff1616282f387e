-- Times are microseconds since 1970 in UTC. What begins with a site's name is SITE.NAME.

-- Programs that watch cameras, and what they said of themselves last, as JSON.
CREATE TABLE sites (
    site TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    seen_us BIGINT NOT NULL
);
CREATE INDEX sites_by_time ON sites (seen_us);

CREATE TABLE events (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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
    -- 1: no retention removes it.
    kept BIGINT NOT NULL DEFAULT 0,
    -- 1: somebody removed it; the row goes with its time, so that a step that comes again does not bring it back.
    removed BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX events_by_start ON events (start_us, id);
CREATE INDEX events_by_camera ON events (camera, start_us, id);
CREATE INDEX events_by_rule ON events (rule, start_us, id);
CREATE INDEX events_open ON events (start_us, id) WHERE end_us IS NULL;
CREATE INDEX events_by_step ON events (step_us);

-- Lower-case words of an event's query and phrases.
CREATE TABLE words (
    word TEXT NOT NULL,
    event BIGINT NOT NULL REFERENCES events (number) ON DELETE CASCADE,
    PRIMARY KEY (word, event)
);
CREATE INDEX words_of_event ON words (event);

-- Steps that have come, each once, and when.
CREATE TABLE steps (
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    time_us BIGINT NOT NULL,
    received_us BIGINT NOT NULL,
    PRIMARY KEY (event_id, kind, time_us)
);

-- Pictures of the best views, with boxes and words drawn, as JPEG.
CREATE TABLE pictures (
    event_id TEXT PRIMARY KEY,
    received_us BIGINT NOT NULL,
    jpeg BYTEA NOT NULL
);
CREATE INDEX pictures_by_time ON pictures (received_us);
