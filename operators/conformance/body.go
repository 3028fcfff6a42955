package conformance

import (
	"encoding/json"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats"
)

// checkBody holds a body against the schema of its kind.
func checkBody(r formats.Record) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(r.Body, &object); err != nil || object == nil {
		return fmt.Errorf("its body is not a JSON object (%v): %.200s", err, r.Body)
	}
	return nil
}
