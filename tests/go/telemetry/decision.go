package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Decision is the selector's answer to one transfer.
type Decision struct {
	ID                 string  `json:"id"`
	EventID            string  `json:"event_id"`
	RequestID          string  `json:"request_id"`
	Timestamp          int64   `json:"timestamp"`
	NodeID             string  `json:"node_id"`
	PeerID             string  `json:"peer_id"`
	LinkType           string  `json:"link_type"`
	Algorithm          string  `json:"algorithm"`
	ProbabilityAMST    float64 `json:"probability_amst"`
	Confidence         float64 `json:"confidence"`
	HeuristicAlgorithm string  `json:"heuristic_algorithm"`
	Fallback           bool    `json:"fallback"`
	FallbackReason     string  `json:"fallback_reason"`
	ModelName          string  `json:"model_name"`
	ModelVersion       string  `json:"model_version"`

	ExpectedUtilityHDE    *float64 `json:"expected_utility_hde"`
	ExpectedUtilityAMST   *float64 `json:"expected_utility_amst"`
	Propensity            *float64 `json:"propensity"`
	ExperimentID          string   `json:"experiment_id"`
	ExperimentArm         string   `json:"experiment_arm"`
	ShadowVersion         string   `json:"shadow_version"`
	ShadowProbabilityAMST *float64 `json:"shadow_probability_amst"`
}

// Forecast is a link 15 minutes ahead; Lower and Upper are Mbps, ms, loss and ms.
type Forecast struct {
	ID             string    `json:"id"`
	Timestamp      int64     `json:"timestamp"`
	NodeID         string    `json:"node_id"`
	PeerID         string    `json:"peer_id"`
	LinkType       string    `json:"link_type"`
	PredictionTime int64     `json:"prediction_time"`
	TargetTime     int64     `json:"target_time"`
	ValidUntil     int64     `json:"valid_until"`
	BandwidthMbps  float64   `json:"predicted_bandwidth_mbps"`
	LatencyMs      float64   `json:"predicted_latency_ms"`
	PacketLoss     float64   `json:"predicted_packet_loss"`
	JitterMs       float64   `json:"predicted_jitter_ms"`
	Lower          []float64 `json:"lower"`
	Upper          []float64 `json:"upper"`
	Confidence     float64   `json:"confidence"`
	ModelVersion   string    `json:"model_version"`
	Streams        int       `json:"amst_streams"`
	BufferBytes    int       `json:"amst_buffer_bytes"`
	ChunkBytes     int       `json:"amst_chunk_bytes"`
	PacingBps      int64     `json:"amst_pacing_bytes_per_second"`
	WindowBytes    int64     `json:"amst_window_bytes"`
	Action         string    `json:"amst_action"`
	Reason         string    `json:"amst_reason"`
	// TargetConfidence is that of each forecast alone, in the order of Lower.
	TargetConfidence []float64 `json:"target_confidence"`
}

// Score is how unusual a node's metrics are.
type Score struct {
	ID              string  `json:"id"`
	Timestamp       int64   `json:"timestamp"`
	NodeID          string  `json:"node_id"`
	AnomalyScore    float64 `json:"anomaly_score"`
	Threshold       float64 `json:"threshold"`
	IsAnomaly       bool    `json:"is_anomaly"`
	DetectionMethod string  `json:"detection_method"`
	Suppressed      bool    `json:"suppressed"`
}

// New returns an empty record of one of the kinds above.
func New(record string) (any, error) {
	switch record {
	case "decision":
		return new(Decision), nil
	case "forecast":
		return new(Forecast), nil
	case "score":
		return new(Score), nil
	}
	return nil, fmt.Errorf("no record %q: decision, forecast or score", record)
}

// DecodeJSON reads a value into a record; a field the record does not know is an error.
func DecodeJSON(value []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
