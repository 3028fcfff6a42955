package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/transfer/bank"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// connectedDemo is the demo, with a person whose bank is connected.
func connectedDemo(t *testing.T) (*demo, *bank.Connection) {
	t.Helper()
	d, b := bankDemo(t)
	id, err := d.connectsBank(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.retrieved(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d, c
}

// ended waits until the bank knows that a consent has ended.
func (d *demo) ended(t *testing.T, consent string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); d.bank.ConsentStatus(consent) != "terminatedByTpp"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("at the bank the consent is %s", d.bank.ConsentStatus(consent))
		}
	}
}

// TestBanksEndWithTheMove: whoever has moved is not read at banks any more by the operator whom they left, though they can come back
// for weeks.
func TestBanksEndWithTheMove(t *testing.T) {
	d, c := connectedDemo(t)
	id, err := d.authorises(t.Context(), saver)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		m, err := d.sb.server.receiver.Get(t.Context(), saver, id)
		if err != nil || m.Trouble != "" || time.Now().After(end) {
			t.Fatalf("%+v: %v", m, err)
		}
		if m.Stage == move.Activated && m.Done {
			break
		}
	}
	got, err := d.sa.server.banks.Connection(t.Context(), saver, c.ID)
	if err != nil || got.State != bank.Ending && got.State != bank.Disconnected {
		t.Errorf("%+v: %v", got, err)
	}
	d.ended(t, c.Consent)
	if list, err := d.sa.server.sender.Moved(t.Context(), saver); err != nil || list == "" {
		t.Errorf("they have moved to %q: %v", list, err)
	}
}

// TestBanksEndWithThePerson: whoever is erased or removed is known neither here nor, as a consent, at their bank.
func TestBanksEndWithThePerson(t *testing.T) {
	for name, command := range map[string][]string{
		"erase":  {"erase", saver, "--out", filepath.Join(t.TempDir(), "certificate.jws"), "--yes"},
		"remove": {"remove", saver, "--yes"},
	} {
		for _, runs := range []bool{true, false} {
			t.Run(map[bool]string{true: name + " while the gateway runs", false: name + " while it does not"}[runs], func(t *testing.T) {
				d, c := connectedDemo(t)
				if !runs {
					d.stops(t)
				} else if _, err := d.sa.server.serveAdmin(t.Context(), d.a.dir); err != nil {
					t.Fatal(err)
				}
				var out, fault bytes.Buffer
				if code := run(append([]string{"--data", d.a.dir, "person"}, command...), &out, &fault); code != exitDone {
					t.Fatalf("%d: %s%s", code, &out, &fault)
				}
				if !runs {
					d.startsAgain(t)
				}
				d.ended(t, c.Consent)
				for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					left := d.rows(t, "bank_connection") + d.rows(t, "bank_account") + d.rows(t, "bank_operation")
					if left == 0 {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("%d rows are left", left)
					}
				}
				if list, err := d.sa.server.banks.Of(t.Context(), saver); err != nil || len(list) != 0 {
					t.Errorf("%+v: %v", list, err)
				}
			})
		}
	}
}

// stops stops the gateway of A.
func (d *demo) stops(t *testing.T) {
	t.Helper()
	if err := errors.Join(d.sa.close(), d.a.Close()); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// startsAgain starts it at another address.
func (d *demo) startsAgain(t *testing.T) {
	t.Helper()
	var err error
	d.a.gateway = &gateway{dir: d.a.dir}
	if d.a.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if d.sa, err = d.serves(t.Context(), d.a); err != nil {
		t.Fatal(err)
	}
	if err := d.sa.open(t.Context(), d.sb); err != nil {
		t.Fatal(err)
	}
}

func (d *demo) rows(t *testing.T, table string) (n int) {
	t.Helper()
	if err := d.sa.server.db.Read.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
