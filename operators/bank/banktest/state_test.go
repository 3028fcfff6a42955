package banktest_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

func TestState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bank.json")
	c := banktest.Config{State: file}
	x := open(t, c)
	id := x.granted(banktest.Anne, offered)
	at := x.first() + "?bookingStatus=booked&dateFrom=" + x.ago(60)
	for range 4 {
		x.do("GET", at, "")
	}
	waiting := x.ask(offered)
	if err := x.bank.Advance(40 * time.Minute); err != nil {
		t.Fatal(err)
	}

	again := open(t, c)
	again.header.Set("Consent-ID", id)
	if got := time.Until(again.bank.Now()); got < 39*time.Minute {
		t.Error("the clock went back:", got)
	}
	refused(t, "counted", again.do("GET", at, ""), 429, "ACCESS_EXCEEDED")
	if got := again.do("GET", at, "", "PSU-IP-Address: 192.0.2.7"); got.status != 200 {
		t.Errorf("%s", got.text)
	}
	page := again.at + "/sca/" + between(waiting.at("_links.scaRedirect.href")+"|", "/sca/", "|")
	again.sign(page, banktest.Anne, again.bank.IBANs(banktest.Anne)...)
	if got := again.bank.ConsentStatus(id); got != "expired" {
		t.Error("a new consent left the former one", got)
	}
	if left, _ := filepath.Glob(file + "*"); len(left) != 1 {
		t.Error("left behind:", left)
	}
	if err := os.WriteFile(file, []byte(`{"Consents":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := banktest.New(c); err == nil {
		t.Error("a broken state was read")
	}
}
