package example

import (
	"bytes"
	"fmt"
	"strings"
)

// pdf writes a document of one page, valid PDF 1.4, with a line of text each.
func pdf(lines ...string) []byte {
	var page bytes.Buffer
	page.WriteString("BT /F1 12 Tf 16 TL 60 780 Td\n")
	for _, line := range lines {
		fmt.Fprintf(&page, "(%s) Tj T*\n", pdfString(line))
	}
	page.WriteString("ET\n")
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R /Resources << /Font << /F1 4 0 R >> >> >>",
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%sendstream", page.Len(), page.String()),
	}
	var out bytes.Buffer
	out.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	var table strings.Builder
	for i, object := range objects {
		fmt.Fprintf(&table, "%010d 00000 n \n", out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	start := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n%s", len(objects)+1, table.String())
	fmt.Fprintf(&out, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return out.Bytes()
}

// pdfString encodes text for WinAnsiEncoding, which is Latin-1 for what French needs, and the euro.
func pdfString(text string) string {
	var out []byte
	for _, c := range text {
		switch {
		case c == '(' || c == ')' || c == '\\':
			out = append(out, '\\', byte(c))
		case c == '€':
			out = append(out, 0x80)
		case c < 256:
			out = append(out, byte(c))
		default:
			out = append(out, '?')
		}
	}
	return string(out)
}
