package oauth_test

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/consent/oauth"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/fapi"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// vouched checks what another operator signed.
func (g *gateway) vouched(_ context.Context, operator, typ, compact string, _ time.Time) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, err
	}
	if signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType] != typ {
		return nil, errors.New("another type")
	}
	key := g.trusts[operator]
	if key == nil {
		return nil, errors.New("nobody whom we trust")
	}
	return signed.Verify(key)
}

// follow is a person who moves from A to B with what a service was granted.
type follow struct {
	a, b     *gateway
	at, to   *fapi.Client // the service, at either
	tokens   fapi.Tokens  // at A
	thumb    []string     // of the service's keys, as both know it
	followed consent.Follower
}

func newFollow(t *testing.T, db *sqldb.DB) *follow {
	t.Helper()
	f := &follow{a: newGatewayOf(t, dbtest.SQLite(t), "a.example"), b: newGatewayOf(t, db, "b.example")}
	f.b.trusts["a.example"] = f.a.key.Public().(ed25519.PublicKey)
	f.at = f.a.client(t, "invites")
	service, err := f.a.Authority.Service(t.Context(), "invites")
	if err != nil {
		t.Fatal(err)
	}
	f.thumb = f.a.oauth.Keys(t.Context(), service)
	if err := f.b.AddService(t.Context(), *service); err != nil {
		t.Fatal(err)
	}
	f.to = &fapi.Client{Issuer: f.b.URL, ID: "invites", Redirect: f.at.Redirect, Key: f.at.Key, Proof: f.at.Proof, KeyID: "k1"}
	f.tokens = f.a.tokens(t, f.at, "alice", nil)
	list, err := f.a.Followable(t.Context(), "alice", 10)
	if err != nil {
		t.Fatal(err)
	}
	f.followed = consent.Follower{Following: list[0], Proven: true, Here: "invites", Keys: f.thumb}
	f.followed.Service.Keys = f.thumb
	return f
}

// leave is A's commit, and come B's activation.
func (f *follow) leave(t *testing.T) {
	t.Helper()
	_, err := f.a.Ledger.Commit(t.Context(), func(tx *sql.Tx) ([]ledger.Event, error) {
		return f.a.Leave(t.Context(), tx, consent.Leaving{Person: "alice", Move: "m1", Operator: "b.example", Issuer: f.b.URL})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (f *follow) come(t *testing.T) {
	t.Helper()
	_, err := f.b.Ledger.Commit(t.Context(), func(tx *sql.Tx) ([]ledger.Event, error) {
		return f.b.Carry(t.Context(), tx, consent.Carrying{Person: "alicia", Move: "m1", Operator: "a.example", Country: "FR", Known: true,
			Consents: []consent.Follower{f.followed}, Left: []consent.Left{{Grant: f.followed.Grant, Revision: f.followed.Revision}}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// statement gets one at A.
func (f *follow) statement(t *testing.T) string {
	t.Helper()
	managing, err := f.at.Credentials(t.Context(), "grant_management_query")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := f.at.Get(t.Context(), f.a.URL+oauth.PathGrants+"/"+f.tokens.Grant, managing.Access, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var grant struct {
		State string
		Moved struct{ Statement, Issuer string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&grant); err != nil {
		t.Fatal(err)
	}
	return grant.Moved.Statement
}

// signed signs a statement with other claims than A would.
func (f *follow) signed(t *testing.T, key ed25519.PrivateKey, typ, statement string, change map[string]any) string {
	t.Helper()
	was, err := jose.ParseSignedCompact(statement, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(was.UnsafePayloadWithoutVerification(), &claims); err != nil {
		t.Fatal(err)
	}
	claims["jti"] = "another"
	for name, value := range change {
		claims[name] = value
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// TestAServiceFollows goes the whole way: A says where the person is, and B gives tokens, of which a withdrawal is the end.
func TestAServiceFollows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := newFollow(t, db)
		if f.statement(t) != "" {
			t.Error("there is a statement before anybody moved")
		}
		f.leave(t)
		if status := f.a.me(t, f.at, f.tokens.Access); status != http.StatusGone {
			t.Errorf("A answers %d", status)
		}
		if _, err := f.at.Refresh(t.Context(), f.tokens.Refresh); code(err) != "invalid_grant" || !strings.Contains(err.Error(), "moved") {
			t.Error(err)
		}
		if about, err := f.at.Introspect(t.Context(), f.tokens.Access); err != nil || about["active"] != false || about["moved"] == nil {
			t.Error(about, err)
		}
		statement := f.statement(t)
		if _, err := f.to.Follow(t.Context(), statement); code(err) != "invalid_grant" {
			t.Errorf("before B has activated: %v", err)
		}
		f.come(t)
		tokens, err := f.to.Follow(t.Context(), statement)
		if err != nil || tokens.Grant == f.tokens.Grant || tokens.Refresh == "" || tokens.Type != "DPoP" || !strings.Contains(string(tokens.Details), "contacts") {
			t.Fatalf("%+v, %v", tokens, err)
		}
		again, err := f.to.Refresh(t.Context(), tokens.Refresh)
		if err != nil || f.b.me(t, f.to, tokens.Access) != http.StatusOK || f.b.me(t, f.to, again.Access) != http.StatusOK {
			t.Fatal(err)
		}
		if _, err := f.to.Follow(t.Context(), statement); code(err) != "invalid_grant" {
			t.Errorf("a second time: %v", err)
		}
		if _, err := f.to.Follow(t.Context(), f.statement(t)); err != nil {
			t.Errorf("another statement, after a lost answer: %v", err)
		}
		if _, err := f.b.Withdraw(t.Context(), consent.Ending{Consent: tokens.Grant, Person: "alicia", State: consent.Withdrawn}); err != nil {
			t.Fatal(err)
		}
		if status := f.b.me(t, f.to, again.Access); status != http.StatusUnauthorized {
			t.Errorf("after the person withdrew it: %d", status)
		}
		if _, err := f.to.Follow(t.Context(), f.statement(t)); code(err) != "invalid_grant" {
			t.Errorf("a statement after the person withdrew it: %v", err)
		}
	})
}

// TestStatementsOfOthers: a statement is good for one service, with its key, at one operator, until a day, as A signed it.
func TestStatementsOfOthers(t *testing.T) {
	f := newFollow(t, dbtest.SQLite(t))
	f.leave(t)
	f.come(t)
	good := f.statement(t)
	other := f.b.client(t, "other")
	_, forger, _ := ed25519.GenerateKey(nil)
	refused := func(name string, c *fapi.Client, statement string) {
		t.Helper()
		if _, err := c.Follow(t.Context(), statement); code(err) != "invalid_grant" {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("another service", other, good)
	refused("a forged signature", f.to, f.signed(t, forger, oauth.TypeFollow, good, nil))
	refused("another type of JWT", f.to, f.signed(t, f.a.key, "JWT", good, nil))
	refused("another kind of JWT that A signs", f.to, f.tokens.ID)
	refused("nothing", f.to, "")
	refused("no JWS", f.to, "a.b.c")
	for name, change := range map[string]map[string]any{
		"for another operator":       {"aud": "https://c.example"},
		"of an operator not trusted": {"iss": "c.example"},
		"expired":                    {"exp": time.Now().Add(-time.Minute).Unix()},
		"for ever":                   {"exp": time.Now().AddDate(1, 0, 0).Unix()},
		"of tomorrow":                {"iat": time.Now().AddDate(0, 0, 1).Unix(), "exp": time.Now().AddDate(0, 0, 2).Unix()},
		"without an id":              {"jti": ""},
		"of another grant":           {"sub": "00000000-0000-4000-8000-000000000000"},
		"of another move":            {"move": "m2"},
		"of another revision":        {"revision": 9},
		"to another grant":           {"grant_id": "00000000-0000-4000-8000-000000000000"},
		"for another key":            {"jkts": []string{"AAAA"}},
		"for no key":                 {"jkts": nil},
	} {
		refused(name, f.to, f.signed(t, f.a.key, oauth.TypeFollow, good, change))
	}
	if _, err := f.to.Follow(t.Context(), good); err != nil {
		t.Errorf("what was refused has used it up: %v", err)
	}
	f.a.later(consent.Grace + time.Hour)
	told, err := f.a.oauth.Relocation(t.Context(), f.tokens.Grant, "invites")
	text, also := json.Marshal(told)
	if err != nil || also != nil || strings.Contains(string(text), `"statement":`) || !strings.Contains(string(text), f.b.URL) {
		t.Errorf("after the time for statements A says %s, %v", text, err)
	}
}

// TestAnotherKey: a service whose key at B is another one by now cannot follow, nor one that is suspended there.
func TestAnotherKey(t *testing.T) {
	f := newFollow(t, dbtest.SQLite(t))
	f.leave(t)
	f.come(t)
	statement := f.statement(t)
	if err := f.b.Suspend(t.Context(), "invites", "it lied"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.to.Follow(t.Context(), statement); code(err) != "unauthorized_client" {
		t.Errorf("a service that is suspended: %v", err)
	}
	if err := f.b.Suspend(t.Context(), "invites", ""); err != nil {
		t.Fatal(err)
	}
	stolen := f.b.client(t, "invites") // somebody else's key, under its name
	if _, err := stolen.Follow(t.Context(), statement); code(err) != "invalid_grant" {
		t.Errorf("another key: %v", err)
	}
}

// TestAnAbortedMove: who has not moved has no statement, and one that is made up gives nothing at B, which has nothing.
func TestAnAbortedMove(t *testing.T) {
	f := newFollow(t, dbtest.SQLite(t))
	if f.a.me(t, f.at, f.tokens.Access) != http.StatusOK || f.statement(t) != "" {
		t.Error("who has not moved is taken for gone")
	}
	f.leave(t)
	if _, err := f.to.Follow(t.Context(), f.statement(t)); code(err) != "invalid_grant" {
		t.Error(err)
	}
}

// TestToBeConfirmed: what the person has still to confirm gives no tokens, until they have.
func TestToBeConfirmed(t *testing.T) {
	f := newFollow(t, dbtest.SQLite(t))
	f.followed.Proven = false
	f.leave(t)
	f.come(t)
	statement := f.statement(t)
	if _, err := f.to.Follow(t.Context(), statement); code(err) != "invalid_grant" || !strings.Contains(err.Error(), "confirm") {
		t.Errorf("before the person has: %v", err)
	}
	list, err := f.b.Consents(t.Context(), "alicia")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if _, err := f.b.Renew(t.Context(), consent.Renewal{Consent: list[0].ID, Person: "alicia", Until: time.Now().AddDate(0, 1, 0), Session: consent.SessionFacts{Method: "password", Authenticated: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.to.Follow(t.Context(), statement); err != nil {
		t.Errorf("after the person has: %v", err)
	}
}

// TestTwoAtOnce: of many that redeem one statement at the same moment, one gets tokens.
func TestTwoAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := newFollow(t, db)
		f.leave(t)
		f.come(t)
		statement := f.statement(t)
		if _, err := f.to.Credentials(t.Context(), "grant_management_query"); err != nil { // so that it has a nonce
			t.Fatal(err)
		}
		var got sync.WaitGroup
		won := make(chan bool, 8)
		for range cap(won) {
			got.Go(func() {
				_, err := f.to.Follow(context.Background(), statement)
				won <- err == nil
			})
		}
		got.Wait()
		close(won)
		n := 0
		for ok := range won {
			if ok {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d got tokens", n)
		}
	})
}
