export {
  type ArchiveProgress,
  type ArchiveRun,
  type ArchiveRunOptions,
  ArchiveService,
} from './archive/ArchiveService.ts';
export type { Archive, ArchiveState } from './archive/archive.ts';
export type { ArchiveSearch, FoundRow } from './archive/searchArchives.ts';
export type { ArchiveLock, ArchiveSettings, S3Settings } from './archive/settings.ts';
export type { ArchiveFinding, ArchiveVerification } from './archive/verifyArchive.ts';
export {
  AuditService,
  type ExportRange,
  type SignedCheckpoint,
  type VerifyOptions,
  verifyExport,
  verifyGrowth,
  verifyProof,
} from './audit/AuditService.ts';
export type { VerifiedBundle } from './audit/bundle.ts';
export { newLogKey } from './audit/logKey.ts';
export type { AuditProgress } from './audit/store/readProgress.ts';
export type { Finding, Verification } from './audit/verifyLog.ts';
export { AlertDeadlines } from './compliance/AlertDeadlines.ts';
export { AlertQueues } from './compliance/AlertQueues.ts';
export { AlertSettings } from './compliance/AlertSettings.ts';
export type {
  Alert,
  AlertStatus,
  AlertType,
  DeadlineStep,
  DecidedStatus,
  RiskLevel,
  Severity,
} from './compliance/alert.ts';
export type { AlertWriteOptions, PersonalWriteOptions } from './compliance/alertChange.ts';
export type { AlertFilterInput, CountFilterInput, SearchFilterInput } from './compliance/alertFilter.ts';
export type { NewAlertInput } from './compliance/alertInput.ts';
export type { AlertCount } from './compliance/alertLists.ts';
export type { AlertCounts, AlertMetrics, AlertMetricsReport, AlertTrendDay } from './compliance/alertStatistics.ts';
export type { BulkResult } from './compliance/bulk.ts';
export { ComplianceService } from './compliance/ComplianceService.ts';
export { CustomerService } from './compliance/CustomerService.ts';
export type { AttachmentInput } from './compliance/comments.ts';
export type { AlertDeadline, DeadlineChanges, Holiday } from './compliance/deadline.ts';
export type { AlertGroup } from './compliance/groups.ts';
export type { AlertHit } from './compliance/hits.ts';
export type { AlertPerson, AlertQueue, PersonInput, QueueInput } from './compliance/queue.ts';
export { SuppressionService } from './compliance/SuppressionService.ts';
export type { ScreeningResults } from './compliance/screening.ts';
export type {
  AlertTemplate,
  SettingChange,
  Settings as AlertSettingsValues,
  SettingsChanges,
} from './compliance/settings.ts';
export type { NewSuppressionInput, Suppression } from './compliance/suppression.ts';
export type { Attachment, TimelineEntry } from './compliance/timeline.ts';
export type { Database, Db } from './database/database.ts';
export type { Database as SupabaseDatabase } from './database/supabase.generated.ts';
export { transactionOf } from './database/transaction.ts';
export { type ErrorCode, errorCatalogue, MoonguardError, type Problem } from './errors.ts';
export type { Page } from './input/page.ts';
export type { ReadOptions, WriteOptions } from './input/writeOptions.ts';
export { type JobState, Jobs } from './jobs/Jobs.ts';
export type { JobRun } from './jobs/runClaimedJob.ts';
export { createMoonguard, type Moonguard, type MoonguardOptions, type Readiness } from './moonguard.ts';
export { createMetrics, type Metrics } from './observe/metrics.ts';
export type { Environment, Observation, Observe } from './observe/observation.ts';
export { AccountService } from './policy/AccountService.ts';
export type { PolicyApproval } from './policy/approval.ts';
export type { Backtest, BacktestRequest } from './policy/backtest.ts';
export type { ReplayedDecision, ReplayReport } from './policy/DecisionReplayer.ts';
export type { Outcome, PolicyDocument } from './policy/document.ts';
export type { Evaluated, EvaluateInput } from './policy/evaluateRequest.ts';
export type { NewExceptionInput, PolicyException } from './policy/exception.ts';
export type { Explanation } from './policy/explain.ts';
export type { ExportFormat } from './policy/exportLog.ts';
export { PolicyService } from './policy/PolicyService.ts';
export type { PolicySettingsValues } from './policy/PolicySettings.ts';
export type { NewPolicyListInput, PolicyList, PolicyListValue } from './policy/policyList.ts';
export type { ActionType, ExecutionStatus, PolicyLogEntry, PolicyType } from './policy/policyLog.ts';
export type { PolicyLogExportInput, PolicyLogFilterInput } from './policy/policyLogFilter.ts';
export type { PolicyExecutionInput, PolicyViolationInput } from './policy/policyLogInput.ts';
export type { PolicyVersion, VersionStatus } from './policy/policyVersion.ts';
export type { PersonalStepOptions, PolicyStepOptions } from './policy/policyWrite.ts';
export type { Change } from './policy/structuralDiff.ts';
export { HoldService } from './retention/HoldService.ts';
export type { HoldFilterInput, LegalHold, NewHoldInput } from './retention/hold.ts';
export {
  type Erasure,
  type ErasureInput,
  type RetentionPlanOptions,
  type RetentionRun,
  type RetentionRunOptions,
  RetentionService,
  type RetentionSettings,
} from './retention/RetentionService.ts';
export type { RetentionReport } from './retention/retentionReport.ts';
export type { PolicyLogStep } from './retention/store/planPolicyLogs.ts';
export type { ClientCertificateInput, ClientCertificateSummary } from './webhooks/clientCertificate.ts';
export type { Delivery, DeliveryAttempt, DeliveryStatus } from './webhooks/delivery.ts';
export type { EndpointChange, EndpointStatus, WebhookEndpoint } from './webhooks/endpoint.ts';
export type { CreateWebhookInput, WebhookChanges } from './webhooks/endpointInput.ts';
export type { Replay, ReplayableStatus, ReplayRequest, ReplayStatus } from './webhooks/replay.ts';
export type { DeliveryStatistics, StatisticsWindow, TrendBucket, TrendPoint } from './webhooks/statistics.ts';
export { WebhookHandler } from './webhooks/WebhookHandler.ts';
