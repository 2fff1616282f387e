-- The newest document of the fleet's group that was taken, as JSON: one row, or none.
CREATE TABLE fleet (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    state TEXT NOT NULL
);
