-- Small blobs whose bytes were lost: next to none, and looked for often.
CREATE INDEX home_blob_lost ON home_blob (instance, hash) WHERE data IS NULL AND size > 0 AND size <= 65536;
