// Stands in for Cornerstone's worker for segmentations, which the viewer does not have.
export const registerComputeWorker = () => {};
