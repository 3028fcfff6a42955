-- At the destination, between its acceptance and its activation: what follows the person besides the instance, JSON.
ALTER TABLE move_move ADD COLUMN follows TEXT NOT NULL DEFAULT '';
