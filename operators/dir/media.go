package dir

import (
	"encoding/json"
	"strings"
)

// mediaType returns the media type of a file by its name, or "".
func mediaType(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 {
		return ""
	}
	if t := typeOf(name[dot+1:]); t != "" {
		return t
	}
	return typeOf(strings.ToLower(name[dot+1:]))
}

// typeOf is a fixed table, so that a tree gives the same records on every machine. The types are those registered with
// IANA, or the common ones where none is.
func typeOf(extension string) string {
	switch extension {
	case "epub":
		return "application/epub+zip"
	case "geojson":
		return "application/geo+json"
	case "gpx":
		return "application/gpx+xml"
	case "gz", "tgz":
		return "application/gzip"
	case "json":
		return "application/json"
	case "jsonld":
		return "application/ld+json"
	case "doc":
		return "application/msword"
	case "bin":
		return "application/octet-stream"
	case "ofx":
		return "application/ofx"
	case "pdf":
		return "application/pdf"
	case "gpg", "pgp":
		return "application/pgp-encrypted"
	case "p12", "pfx":
		return "application/pkcs12"
	case "ps", "eps", "ai":
		return "application/postscript"
	case "rtf":
		return "application/rtf"
	case "sql":
		return "application/sql"
	case "kml":
		return "application/vnd.google-earth.kml+xml"
	case "kmz":
		return "application/vnd.google-earth.kmz"
	case "xls":
		return "application/vnd.ms-excel"
	case "msg":
		return "application/vnd.ms-outlook"
	case "ppt":
		return "application/vnd.ms-powerpoint"
	case "odg":
		return "application/vnd.oasis.opendocument.graphics"
	case "odp":
		return "application/vnd.oasis.opendocument.presentation"
	case "ods":
		return "application/vnd.oasis.opendocument.spreadsheet"
	case "odt":
		return "application/vnd.oasis.opendocument.text"
	case "pptx":
		return "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	case "xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case "docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case "rar":
		return "application/vnd.rar"
	case "sqlite", "sqlite3":
		return "application/vnd.sqlite3"
	case "7z":
		return "application/x-7z-compressed"
	case "bz2":
		return "application/x-bzip2"
	case "kdbx":
		return "application/x-keepass2"
	case "ndjson":
		return "application/x-ndjson"
	case "sh":
		return "application/x-sh"
	case "tar":
		return "application/x-tar"
	case "xz":
		return "application/x-xz"
	case "xml", "xsd", "xsl":
		return "application/xml"
	case "yaml", "yml":
		return "application/yaml"
	case "zip":
		return "application/zip"
	case "zst":
		return "application/zstd"
	case "aac":
		return "audio/aac"
	case "flac":
		return "audio/flac"
	case "mid", "midi":
		return "audio/midi"
	case "m4a":
		return "audio/mp4"
	case "mp3":
		return "audio/mpeg"
	case "ogg", "oga", "opus":
		return "audio/ogg"
	case "wav":
		return "audio/wav"
	case "otf":
		return "font/otf"
	case "ttf":
		return "font/ttf"
	case "woff":
		return "font/woff"
	case "woff2":
		return "font/woff2"
	case "avif":
		return "image/avif"
	case "bmp":
		return "image/bmp"
	case "gif":
		return "image/gif"
	case "heic":
		return "image/heic"
	case "heif":
		return "image/heif"
	case "jpg", "jpeg", "jpe":
		return "image/jpeg"
	case "png":
		return "image/png"
	case "svg":
		return "image/svg+xml"
	case "tif", "tiff":
		return "image/tiff"
	case "psd":
		return "image/vnd.adobe.photoshop"
	case "webp":
		return "image/webp"
	case "dng":
		return "image/x-adobe-dng"
	case "cr2":
		return "image/x-canon-cr2"
	case "nef":
		return "image/x-nikon-nef"
	case "eml":
		return "message/rfc822"
	case "mbox":
		return "application/mbox"
	case "ics", "ical":
		return "text/calendar"
	case "css":
		return "text/css"
	case "csv":
		return "text/csv"
	case "html", "htm":
		return "text/html"
	case "js", "mjs":
		return "text/javascript"
	case "md", "markdown":
		return "text/markdown"
	case "txt", "text", "log", "conf", "ini":
		return "text/plain"
	case "tsv":
		return "text/tab-separated-values"
	case "vcf":
		return "text/vcard"
	case "cozy-note":
		return "text/vnd.cozy.note+markdown"
	case "c", "h":
		return "text/x-c"
	case "go":
		return "text/x-go"
	case "java":
		return "text/x-java"
	case "py":
		return "text/x-python"
	case "tex":
		return "text/x-tex"
	case "mp4", "m4v":
		return "video/mp4"
	case "mpg", "mpeg":
		return "video/mpeg"
	case "ogv":
		return "video/ogg"
	case "mov":
		return "video/quicktime"
	case "webm":
		return "video/webm"
	case "mkv":
		return "video/x-matroska"
	case "avi":
		return "video/x-msvideo"
	}
	return ""
}

// bodies keeps the encoded bodies of files: there are few different ones.
type bodies map[bodyKey]json.RawMessage

type bodyKey struct {
	mediaType  string
	executable bool
}

func (b bodies) file(mediaType string, executable bool) json.RawMessage {
	key := bodyKey{mediaType, executable}
	if body, ok := b[key]; ok {
		return body
	}
	fields := make([]string, 0, 2)
	if mediaType != "" {
		fields = append(fields, `"mediaType":"`+mediaType+`"`)
	}
	if executable {
		fields = append(fields, `"executable":true`)
	}
	body := json.RawMessage("{" + strings.Join(fields, ",") + "}")
	b[key] = body
	return body
}
