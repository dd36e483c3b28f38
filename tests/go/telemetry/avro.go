package telemetry

import (
	"fmt"
	"os"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/soe"
)

// Canonical is a network sample in the contract's own units, which is what Avro carries.
type Canonical struct {
	Timestamp      int64   `json:"timestamp"`
	NodeID         string  `json:"node_id"`
	PeerID         string  `json:"peer_id"`
	RTTMs          float64 `json:"rtt_ms"`
	JitterMs       float64 `json:"jitter_ms"`
	ThroughputMbps float64 `json:"throughput_mbps"`
	PacketLoss     float64 `json:"packet_loss"`
	BytesTx        int64   `json:"bytes_tx"`
	BytesRx        int64   `json:"bytes_rx"`
	Retransmits    int64   `json:"retransmits"`
	Window         int64   `json:"congestion_window"`
	QueueDepth     int64   `json:"queue_depth"`
	Region         string  `json:"region"`
	AZ             string  `json:"az"`
	LinkType       string  `json:"link_type"`
	Mode           string  `json:"dwcp_mode"`
	Tier           int64   `json:"network_tier"`
	Transport      string  `json:"transport_type"`
}

func canonical(i int) Event {
	s := Canonical{
		Timestamp: start.UnixMilli() + int64(i)*60_000, NodeID: fmt.Sprintf("node-%d", i%7), PeerID: "hub",
		RTTMs: 12.345678, JitterMs: 1.5, ThroughputMbps: 800 + float64(i), PacketLoss: 0.0025, BytesTx: 1 << 40,
		BytesRx: int64(i), Retransmits: 3, Window: 64, QueueDepth: 2, Region: "eu-west", AZ: "eu-west-1a",
		LinkType: linkTypes[i%4], Mode: modes[i%3], Tier: int64(i%3 + 1), Transport: "quic",
	}
	return Event{Key: linkKey(s.NodeID, s.PeerID), Sent: s, Means: s}
}

// Avro is the single-object codec of a schema file; structs are matched by their JSON names.
func Avro(schemaFile string) (*soe.Codec, error) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		return nil, err
	}
	schema, err := avro.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", schemaFile, err)
	}
	return soe.NewCodecWithAPI(schema, avro.Config{TagKey: "json"}.Freeze())
}
