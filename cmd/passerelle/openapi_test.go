package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/consent/oauth"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
)

// TestEverythingIsDescribed holds the list of routes against openapi.yaml: neither has what the other has not.
func TestEverythingIsDescribed(t *testing.T) {
	constants := map[string]string{"PathServer": oauth.PathServer, "PathOpenID": oauth.PathOpenID, "PathResource": oauth.PathResource, "PathKeys": oauth.PathKeys, "PathPushed": oauth.PathPushed,
		"PathAuthorize": oauth.PathAuthorize, "PathToken": oauth.PathToken, "PathIntrospect": oauth.PathIntrospect, "PathRevoke": oauth.PathRevoke, "PathRegister": oauth.PathRegister, "PathGrants": oauth.PathGrants}
	served := map[string]bool{"GET " + oauth.PathServer: true, "GET " + oauth.PathOpenID: true} // which are in a loop
	for _, file := range []string{"routes.go", "admin.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`mux\.Handle(?:Func)?\("([A-Z]+) ([^"]*)"(?:\+oauth\.(\w+)(?:\+"([^"]*)")?)?`).FindAllStringSubmatch(string(text), -1) {
			if m[2] == "" && m[3] == "" {
				continue // the loop
			}
			served[strings.Replace(m[1]+" "+m[2]+constants[m[3]]+m[4], "...}", "}", 1)] = true
		}
	}
	for from, to := range map[string][]string{"GET /log/": {"GET /log/checkpoint", "GET /log/tile/{path}"}, "GET /assets/": {"GET /assets/{file}"}, "GET /{$}": {"GET /"}} {
		delete(served, from)
		for _, route := range to {
			served[route] = true
		}
	}
	described := map[string]bool{}
	for path, item := range apitest.Document(t).Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	if a, b := slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(described)); !slices.Equal(a, b) {
		t.Errorf("served:\n%s\ndescribed:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}
