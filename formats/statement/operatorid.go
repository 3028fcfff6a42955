package statement

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// OperatorID names an operator: a DNS name in lower case ("cloud.example.org") or an https origin (RFC 6454:
// "https://cloud.example.org:8443"), without a path. Two ids are the same operator only if they are the same text.
type OperatorID string

const originScheme = "https://"

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ParseOperatorID accepts an operator id. Names beyond ASCII are written in their xn-- form, so that two of them that
// look alike are seen to differ.
func ParseOperatorID(s string) (OperatorID, error) {
	host, isOrigin := strings.CutPrefix(s, originScheme)
	if isOrigin {
		name, port, hasPort := strings.Cut(host, ":")
		if hasPort && !validPort(port) {
			return "", invalidID(s, "its port is not a number from 1 to 65535 other than 443, which is left out")
		}
		host = name
	}
	if why := dnsFault(host); why != "" {
		return "", invalidID(s, why)
	}
	return OperatorID(s), nil
}

// UnmarshalText parses an id, as [ParseOperatorID] does.
func (id *OperatorID) UnmarshalText(text []byte) error {
	parsed, err := ParseOperatorID(string(text))
	*id = parsed
	return err
}

func invalidID(s, why string) error {
	return fmt.Errorf("%w: operator id %.300q: %s; write cloud.example.org or https://cloud.example.org", formats.ErrInvalid, s, why)
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && n != 443 && strconv.FormatUint(n, 10) == s
}

func dnsFault(host string) string {
	if host == "" || len(host) > 253 {
		return "a name has 1 to 253 characters"
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !dnsLabel.MatchString(label) {
			return fmt.Sprintf("%.80q is not a label of letters a-z, digits and inner hyphens", label)
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "it is an address or a number, not a name"
	}
	return ""
}
